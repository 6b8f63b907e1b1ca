// Package webhook is a mailer outside of the module: it hands each mail to an HTTPS endpoint as JSON.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// Webhook is the mailer and its configuration: `mailer webhook <url> <token>`.
type Webhook struct {
	Endpoint string `json:"endpoint"` // an https:// address
	Token    string `json:"token"`    // written as {env.X} or {file.X}

	secret  string
	http    http.Client
	running sync.RWMutex // read by Sends
	closed  bool
}

// Send posts m. The endpoint knows by the Idempotency-Key that it has seen a mail before.
func (w *Webhook) Send(ctx context.Context, m mailer.Message) error {
	w.running.RLock()
	defer w.running.RUnlock()
	if w.closed {
		return errors.New("webhook: closed")
	}
	if _, err := mime.Build(m, mime.Options{}); err != nil { // refuses what could smuggle a header or a second recipient
		return err
	}
	body, err := json.Marshal(map[string]any{
		"from": m.From, "to": m.To, "reply_to": m.ReplyTo, "subject": m.Subject, "text": m.Text, "html": m.HTML,
		"message_id": m.MessageID, "date": m.Date, "headers": map[string]string{"Auto-Submitted": "auto-generated"},
	})
	if err != nil {
		return mailer.Permanent(err)
	}
	written := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { written = i.Err == nil },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+w.secret)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", m.MessageID)
	res, err := w.http.Do(r)
	switch {
	case err != nil && written:
		return mailer.Unanswered(fmt.Errorf("webhook: %w", err)) // it may have arrived: once more, not for ever
	case err != nil:
		return fmt.Errorf("webhook: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again; never logged, it may quote the mail
	err = fmt.Errorf("webhook: status %d", res.StatusCode)
	switch s := res.StatusCode; {
	case s >= 200 && s <= 299:
		return nil
	case s == http.StatusBadRequest, s == http.StatusUnprocessableEntity, s == http.StatusRequestEntityTooLarge, s == http.StatusGone:
		return mailer.Permanent(err) // this mail will never be taken
	}
	return err // busy, broken or a refused token: the operator can mend that while the mail waits
}

// Close lets running Sends end and refuses new ones.
func (w *Webhook) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		w.running.Lock()
		w.closed = true
		w.running.Unlock()
		w.http.CloseIdleConnections()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
