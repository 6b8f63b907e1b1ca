package limit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ulule/limiter/v3"
)

// maxRates is how many rates one limit may have; maxCount is the largest count of a rate.
const (
	maxRates = 4
	maxCount = 1_000_000_000
)

// Rates are the rates of one limit: each must hold. No two have the same period.
type Rates []limiter.Rate

// Parse reads rates such as "5-H" (the form of ulule/limiter: S, M, H, D) and "5/h". Each count is at least 1.
func Parse(words ...string) (Rates, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("a rate is missing; write it as 5-H or 5/h")
	}
	if len(words) > maxRates {
		return nil, fmt.Errorf("%d rates; %d are the most for one limit", len(words), maxRates)
	}
	rates := make(Rates, 0, len(words))
	for _, word := range words {
		rate, err := parseRate(word)
		if err != nil {
			return nil, err
		}
		for _, other := range rates {
			if other.Period == rate.Period {
				return nil, fmt.Errorf("rates %s and %s have the same period; keep the one that you mean", other.Formatted, rate.Formatted)
			}
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// checkOrder returns an error if more is permitted in a shorter period than in a longer one: the rate of the shorter one would never
// refuse anything. name is the limit's.
func (r Rates) checkOrder(name string) error {
	for _, short := range r {
		for _, long := range r {
			if short.Period < long.Period && short.Limit > long.Limit {
				return fmt.Errorf("limit %s: %s permits more than %s, which lasts longer; write 'limit %s %s', or a larger count for the longer period",
					name, rateName(short), rateName(long), name, r.ordered())
			}
		}
	}
	return nil
}

// ordered returns the rates without those that permit more than one of a longer period.
func (r Rates) ordered() Rates {
	return slices.DeleteFunc(slices.Clone(r), func(short limiter.Rate) bool {
		return slices.ContainsFunc(r, func(long limiter.Rate) bool { return short.Period < long.Period && short.Limit > long.Limit })
	})
}

func parseRate(word string) (limiter.Rate, error) {
	bad := fmt.Errorf("%q is not a rate; write it as 5-H or 5/h, with s, m, h or d for the period", word)
	count, period, found := strings.Cut(word, "-")
	if !found {
		count, period, found = strings.Cut(word, "/")
	}
	if !found || !digits(count) {
		return limiter.Rate{}, bad
	}
	rate, err := limiter.NewRateFromFormatted(strings.TrimLeft(count, "0") + "-" + strings.ToUpper(period))
	switch {
	case strings.Trim(count, "0") == "":
		return limiter.Rate{}, fmt.Errorf("%q would refuse everybody; the smallest count is 1", word)
	case err != nil:
		return limiter.Rate{}, bad
	case rate.Limit > maxCount:
		return limiter.Rate{}, fmt.Errorf("%q is no limit; the largest count is %d", word, maxCount)
	}
	return rate, nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// String returns the rates as they are written in a configuration, "5-H 20-D".
func (r Rates) String() string {
	words := make([]string, len(r))
	for i, rate := range r {
		words[i] = rateName(rate)
	}
	return strings.Join(words, " ")
}

func rateName(rate limiter.Rate) string {
	count := strconv.FormatInt(rate.Limit, 10)
	switch rate.Period {
	case time.Second:
		return count + "-S"
	case time.Minute:
		return count + "-M"
	case time.Hour:
		return count + "-H"
	case 24 * time.Hour:
		return count + "-D"
	default:
		return count + " in " + rate.Period.String()
	}
}

// scaled returns the rates with each count multiplied by factor.
func (r Rates) scaled(factor int64) Rates {
	tier48 := make(Rates, len(r))
	for i, rate := range r {
		rate.Limit = min(rate.Limit, maxCount) * factor
		rate.Formatted = ""
		tier48[i] = rate
	}
	return tier48
}

// halved returns the rates with each count halved, rounded up.
func (r Rates) halved() Rates {
	half := make(Rates, len(r))
	for i, rate := range r {
		rate.Limit = (rate.Limit + 1) / 2
		rate.Formatted = ""
		half[i] = rate
	}
	return half
}
