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

func serveAccounts(r request) error {
	r.w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(r.w)
	return r.operations.Accounts(r.Context(), func(a operator.Account) error { return enc.Encode(a) })
}

// Accounts implements operator.Operations.
func (c *Client) Accounts(ctx context.Context, each func(operator.Account) error) error {
	return receiveEach(ctx, c, listAccounts, nil, each)
}

func serveSessions(r request) error {
	in, err := input[siteInput](r.Request)
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(r.w)
	return r.operations.AllSessions(r.Context(), in.Site, func(s operator.Session) error { return enc.Encode(s) })
}

// AllSessions implements operator.Operations.
func (c *Client) AllSessions(ctx context.Context, site string, each func(operator.Session) error) error {
	return receiveEach(ctx, c, allSessions, siteInput{site}, each)
}

// receiveEach calls each for every line of an answer.
func receiveEach[T any](ctx context.Context, c *Client, op stream, in any, each func(T) error) error {
	dec, stop := c.receive(ctx, op, nil, in)
	defer stop()
	for {
		var one T
		if err := dec.Decode(&one); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(one); err != nil {
			return err
		}
	}
}

// receive returns a decoder of the answer's lines, which fails as the request does. stop ends the request.
func (c *Client) receive(ctx context.Context, op stream, query url.Values, in any) (dec *json.Decoder, stop func()) {
	read, write := io.Pipe()
	go func() { write.CloseWithError(c.send(ctx, op, query, in, io.Writer(write))) }()
	return json.NewDecoder(bufio.NewReader(read)), func() { _ = read.Close() }
}

// exportLine is one line of an export. The last one says how many there were, so that an answer that ended early is not taken
// for a whole one.
type exportLine struct {
	Row   *transfer.Row `json:"account,omitempty"`
	Count *int          `json:"count,omitempty"`
	// Error is what Caddy writes when the store fails in the middle.
	Error string `json:"error,omitempty"`
}

func serveExport(r request) error {
	r.w.Header().Set("Content-Type", "application/jsonl")
	enc, n := json.NewEncoder(r.w), 0
	err := r.operations.Export(r.Context(), r.URL.Query().Get("passwords") == "true", func(row transfer.Row) error {
		n++
		return enc.Encode(exportLine{Row: &row})
	})
	if err != nil {
		return err
	}
	return enc.Encode(exportLine{Count: &n})
}

// Export implements operator.Operations.
func (c *Client) Export(ctx context.Context, passwords bool, each func(transfer.Row) error) error {
	dec, stop := c.receive(ctx, exportAll, url.Values{"passwords": {strconv.FormatBool(passwords)}}, nil)
	defer stop()
	for n := 0; ; {
		var line exportLine
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

func serveImport(r request) error {
	query := r.URL.Query()
	o := operator.ImportOptions{
		Format: query.Get("format"), DryRun: query.Get("dry_run") == "true", SkipBad: query.Get("skip_bad") == "true",
	}
	// Caddy gives a request to the admin endpoint ten seconds; a large file is read for longer.
	if err := http.NewResponseController(r.w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	report, err := r.operations.Import(r.Context(), r.Body, o)
	if err != nil {
		_, _ = io.CopyN(io.Discard, r.Body, operator.MaxImportSize) // or the client would still be writing and not read why
		return err
	}
	return r.answer(report)
}

// Import implements operator.Operations.
func (c *Client) Import(ctx context.Context, in io.Reader, o operator.ImportOptions) (report operator.ImportReport, err error) {
	query := url.Values{
		"format": {o.Format}, "dry_run": {strconv.FormatBool(o.DryRun)}, "skip_bad": {strconv.FormatBool(o.SkipBad)},
	}
	err = c.send(ctx, importFile, query, in, &report)
	return report, err
}

func serveBackup(r request) error {
	r.w.Header().Set("Content-Type", "application/octet-stream")
	return r.operations.Backup(r.Context(), r.w)
}

// Backup implements operator.Operations.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.send(ctx, backup, nil, nil, w)
}
