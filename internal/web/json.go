package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxBody is the largest body that is read, in bytes.
	maxBody = 16 << 10
	// bodyTime is how long a body may take to arrive.
	bodyTime = 15 * time.Second
)

var (
	errTooLarge = errors.New("web: the body is too large")
	errForm     = errors.New("web: the form is not as it should be")
)

// form reads the fields of a POST. Only the named fields may stand in it, each at most once and as one text; a field that is
// not there is empty.
func (x *exchange) form(fields ...string) (map[string]string, error) {
	contentType := ""
	if values := x.r.Header.Values("Content-Type"); len(values) == 1 {
		contentType = mediaType(values[0])
	}
	if contentType == "" && x.r.ContentLength == 0 {
		return map[string]string{}, nil
	}
	if contentType != "application/x-www-form-urlencoded" && contentType != "application/json" {
		return nil, errForm
	}
	if x.r.Header.Get("Content-Encoding") != "" {
		return nil, errForm
	}
	body, err := x.body()
	if err != nil {
		return nil, err
	}
	if contentType == "application/json" {
		return parseJSON(body, fields)
	}
	return parseForm(body, fields)
}

// body reads the body within its bounds of size and time.
func (x *exchange) body() ([]byte, error) {
	if x.r.ContentLength > maxBody {
		x.w.Header().Set("Connection", "close")
		return nil, errTooLarge
	}
	// The system's own time: a deadline of the connection is no time of ours. Where there is no deadline to set, the server
	// before us bounds the time.
	control := http.NewResponseController(x.w)
	limited := control.SetReadDeadline(time.Now().Add(bodyTime)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case err != nil:
		return nil, errForm
	}
	if limited {
		_ = control.SetReadDeadline(time.Time{})
	}
	return body, nil
}

// formField is a hidden field that every form of ours has. It means nothing: text browsers send a form without any field by GET.
const formField = "form"

// parseForm reads a urlencoded body.
func parseForm(body []byte, fields []string) (map[string]string, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errForm
	}
	out := make(map[string]string, len(values))
	delete(values, formField)
	for name, list := range values {
		if len(list) != 1 {
			return nil, errForm
		}
		if err := readField(out, fields, name, list[0]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// parseJSON reads one object of texts; true and false stand for "1" and nothing. A member that occurs twice, in whatever
// case, is refused: encoding/json would quietly let the last one win.
func parseJSON(body []byte, fields []string) (map[string]string, error) {
	if !utf8.Valid(body) {
		return nil, errForm
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errForm
	}
	out := map[string]string{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, errForm
		}
		name, _ := t.(string)
		value, err := dec.Token()
		if err != nil {
			return nil, errForm
		}
		var text string
		switch v := value.(type) {
		case string:
			text = v
		case bool:
			if name == "password" || name == "current" {
				return nil, errForm
			}
			if v {
				text = "1"
			}
		default:
			return nil, errForm
		}
		if err := readField(out, fields, name, text); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errForm
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errForm
	}
	return out, nil
}

// readField accepts one field.
func readField(out map[string]string, fields []string, name, value string) error {
	if _, twice := out[name]; twice || !slices.Contains(fields, name) {
		return errForm
	}
	// What is wrong with a password is said in words, by package password.
	if name != "password" && name != "current" && (!utf8.ValidString(value) || strings.ContainsRune(value, 0)) {
		return errForm
	}
	out[name] = value
	return nil
}

// reply writes a JSON answer.
func (x *exchange) reply(status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(x.w, "", http.StatusInternalServerError)
		return
	}
	x.answer(status, contentType, b)
}

// answer writes a line of JSON.
func (x *exchange) answer(status int, contentType string, line []byte) {
	x.setType(contentType)
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(append(line, '\n'))
	}
}

// replyOK writes an ordinary JSON answer.
func (x *exchange) replyOK(status int, v any) { x.reply(status, "application/json", v) }

// problemBody is an application/problem+json answer (RFC 9457).
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Code is stable; Title is in words and changes with the language.
	Code string `json:"code"`
	// Field is the field of the form that Code is about.
	Field string `json:"field,omitempty"`
	// RetryAfter is in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
	// SignIn is the address to send a person to who has to sign in.
	SignIn string `json:"sign_in,omitempty"`
	// Address is where the site really is.
	Address string `json:"address,omitempty"`
	// Altcha is the path of a proof of work whose solution is taken in place of waiting.
	Altcha string `json:"altcha,omitempty"`
	// Mail is the path of the form that mails a link or a code, where no password is taken for now.
	Mail string `json:"mail,omitempty"`
	// Reference is a short text by which the operator finds a refusal in the log.
	Reference string `json:"reference,omitempty"`
}

// problemSize is room for an ordinary problem.
const problemSize = 512

// append appends what json.Marshal makes of a problem: the answer that strangers cause most often, as often as they like.
func (p *problemBody) append(b []byte) []byte {
	b = appendText(append(b, `{"type":`...), p.Type)
	b = appendText(append(b, `,"title":`...), p.Title)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	b = appendText(append(b, `,"code":`...), p.Code)
	if p.Field != "" {
		b = appendText(append(b, `,"field":`...), p.Field)
	}
	if p.RetryAfter != 0 {
		b = strconv.AppendInt(append(b, `,"retry_after":`...), int64(p.RetryAfter), 10)
	}
	if p.SignIn != "" {
		b = appendText(append(b, `,"sign_in":`...), p.SignIn)
	}
	if p.Address != "" {
		b = appendText(append(b, `,"address":`...), p.Address)
	}
	if p.Altcha != "" {
		b = appendText(append(b, `,"altcha":`...), p.Altcha)
	}
	if p.Mail != "" {
		b = appendText(append(b, `,"mail":`...), p.Mail)
	}
	if p.Reference != "" {
		b = appendText(append(b, `,"reference":`...), p.Reference)
	}
	return append(b, '}')
}

// unescaped are the bytes that json.Marshal writes as they are.
var unescaped = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return table
}()

// appendText appends a text as json.Marshal writes it, who is asked where something has to be escaped.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if !unescaped[text[i]] {
			quoted, _ := json.Marshal(text) //nolint:errchkjson // a text never fails
			return append(b, quoted...)
		}
	}
	b = append(append(b, '"'), text...)
	return append(b, '"')
}
