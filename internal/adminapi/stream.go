package adminapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

// exported is one line of an export over the admin API. The last one says how many there were, so that an answer that ended
// early is not taken for a whole one.
type exported struct {
	Row   *transfer.Row `json:"account,omitempty"`
	Count *int          `json:"count,omitempty"`
	// Error is what Caddy writes when the store fails in the middle.
	Error string `json:"error,omitempty"`
}

func export(c call) error {
	c.w.Header().Set("Content-Type", "application/jsonl")
	enc, n := json.NewEncoder(c.w), 0
	err := c.b.Export(c.r.Context(), c.r.URL.Query().Get("passwords") == "true", func(row transfer.Row) error {
		n++
		return enc.Encode(exported{Row: &row})
	})
	if err != nil {
		return err
	}
	return enc.Encode(exported{Count: &n})
}

func (c *Client) Export(ctx context.Context, passwords bool, each func(transfer.Row) error) error {
	read, write := io.Pipe()
	go func() {
		query := url.Values{"passwords": {strconv.FormatBool(passwords)}}
		write.CloseWithError(c.do(ctx, http.MethodGet, []string{"export"}, query, nil, io.Writer(write)))
	}()
	defer func() { _ = read.Close() }()
	dec, n := json.NewDecoder(bufio.NewReader(read)), 0
	for {
		var line exported
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the answer of the running Caddy ended early")
		case err != nil:
			return err
		case line.Row != nil:
			n++
			if err := each(*line.Row); err != nil {
				return err
			}
		case line.Count != nil && *line.Count == n:
			return nil
		case line.Error != "":
			return errors.New(line.Error)
		}
	}
}

// receive takes a file in the body.
func receive(c call) error {
	query := c.r.URL.Query()
	o := operator.ImportOptions{Format: query.Get("format"), DryRun: query.Get("dry_run") == "true", SkipBad: query.Get("skip_bad") == "true"}
	// Caddy gives a request to the admin endpoint ten seconds; a large file is read for longer.
	if err := http.NewResponseController(c.w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	report, err := c.b.Import(c.r.Context(), c.r.Body, o)
	if err != nil {
		_, _ = io.CopyN(io.Discard, c.r.Body, operator.MaxImportSize) // or the client would still be writing and not read why
	}
	return answer(c.w)(report, err)
}

func (c *Client) Import(ctx context.Context, in io.Reader, o operator.ImportOptions) (operator.ImportReport, error) {
	query := url.Values{
		"format": {o.Format}, "dry_run": {strconv.FormatBool(o.DryRun)}, "skip_bad": {strconv.FormatBool(o.SkipBad)},
	}
	return ask[operator.ImportReport](ctx, c, http.MethodPost, []string{"import"}, query, in)
}
