package mailertest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Mail is what arrived, as a mail program would show it.
type Mail struct {
	// From, ReplyTo and To are the bare addresses of the header.
	From, ReplyTo, To string
	// FromName is the display name of From.
	FromName string
	Subject  string
	// Text and HTML are the decoded parts with \n line ends, without the last one.
	Text, HTML string
	// MessageID is without angle brackets.
	MessageID string
	// Header holds all header fields as they were sent.
	Header mail.Header
	// Raw is the message as it was handed over with CRLF line ends; nil where a mailer hands over something other than RFC 5322.
	Raw []byte
	// EnvelopeFrom and EnvelopeTo are the addresses of MAIL and RCPT; empty outside SMTP.
	EnvelopeFrom, EnvelopeTo string
}

// Parse reads a raw message with the standard library's parsers, which share no code with the writer.
func Parse(raw []byte) (Mail, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{}, fmt.Errorf("header: %w", err)
	}
	out := Mail{Header: m.Header, Raw: bytes.Clone(raw), MessageID: strings.Trim(m.Header.Get("Message-ID"), "<>")}
	dec := mime.WordDecoder{}
	if out.Subject, err = dec.DecodeHeader(m.Header.Get("Subject")); err != nil {
		return Mail{}, fmt.Errorf("subject: %w", err)
	}
	for name, to := range map[string]*string{"From": &out.From, "Reply-To": &out.ReplyTo, "To": &out.To} {
		if m.Header.Get(name) == "" {
			continue
		}
		list, err := m.Header.AddressList(name)
		if err != nil || len(list) != 1 {
			return Mail{}, fmt.Errorf("%s: %d addresses, %w", name, len(list), err)
		}
		*to = list[0].Address
		if name == "From" {
			out.FromName = list[0].Name
		}
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return Mail{}, fmt.Errorf("content type %q: %w", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return Mail{}, fmt.Errorf("parts: %w", err)
		}
		if err := out.part(p); err != nil {
			return Mail{}, err
		}
	}
}

func (m *Mail) part(p *multipart.Part) error {
	var r io.Reader = p
	switch enc := p.Header.Get("Content-Transfer-Encoding"); enc {
	case "quoted-printable":
		r = quotedprintable.NewReader(p)
	case "7bit", "8bit":
	default:
		return fmt.Errorf("transfer encoding %q", enc)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("part: %w", err)
	}
	s := strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil || !strings.EqualFold(params["charset"], "utf-8") {
		return fmt.Errorf("part %q, charset %q: %w", kind, params["charset"], err)
	}
	switch kind {
	case "text/plain":
		m.Text = s
	case "text/html":
		m.HTML = s
	default:
		return fmt.Errorf("part %q", kind)
	}
	return nil
}
