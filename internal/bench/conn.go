package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
)

// text is the request as it goes over the wire.
func (r request) text(addr string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", r.Path, addr)
	for i := 0; i+1 < len(r.Header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", r.Header[i], r.Header[i+1])
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// plainConn speaks HTTP/1.1 with as little work as goes, so that two cores are left to what is measured.
type plainConn struct {
	net.Conn
	in    *bufio.Reader
	texts [][]byte
}

func (c *plainConn) close() { _ = c.Conn.Close() }

func (c *plainConn) send(n int) (status, size int, err error) {
	if _, err := c.Write(c.texts[n]); err != nil {
		return 0, 0, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 {
		return 0, 0, fmt.Errorf("no status line: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("no status line: %q", line)
	}
	size, chunked := 0, false
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, 0, err
		}
		if len(line) <= 2 {
			break
		}
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, 0, err
			}
		case len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked {
		n, err := io.Copy(io.Discard, httputil.NewChunkedReader(c.in))
		if err == nil {
			_, err = c.in.ReadSlice('\n') // the end of the trailers, of which there are none
		}
		return status, int(n), err
	}
	_, err = c.in.Discard(size)
	return status, size, err
}

// streamsPerConn is how many streams share a connection.
const streamsPerConn = 8

// stream speaks HTTP/2 over connections that are shared.
type stream struct {
	transport *http.Transport
	requests  []*http.Request
}

func (j *job) dialH2() []sender {
	var list []sender
	var t *http.Transport
	for i := range j.Conns {
		if i%streamsPerConn == 0 {
			t = &http.Transport{Protocols: new(http.Protocols)}
			t.Protocols.SetUnencryptedHTTP2(true)
		}
		s := &stream{transport: t}
		for _, r := range j.Requests {
			q, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+j.Addr+r.Path, nil)
			for i := 0; i+1 < len(r.Header); i += 2 {
				q.Header[http.CanonicalHeaderKey(r.Header[i])] = []string{r.Header[i+1]}
			}
			s.requests = append(s.requests, q)
		}
		list = append(list, s)
	}
	return list
}

func (s *stream) send(n int) (status, size int, err error) {
	res, err := s.transport.RoundTrip(s.requests[n])
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	m, err := io.Copy(io.Discard, res.Body)
	if err == nil && res.ProtoMajor != 2 {
		err = fmt.Errorf("answered over %s", res.Proto)
	}
	return res.StatusCode, int(m), err
}

// close ends the connection when no other stream is open on it.
func (s *stream) close() { s.transport.CloseIdleConnections() }
