package operator

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"

	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

// kept are the accounts of a file that are to be written once all of it has been read: in memory up to [importWhole], beyond
// that in a temporary file. What is in the file is sealed with a key that is nowhere else than in memory, so nothing of it can
// be read when the process dies. Close it after use. The zero value is empty.
type kept struct {
	count int
	list  []transfer.Row
	file  *os.File
	out   *bufio.Writer
	aead  cipher.AEAD
	parts uint64
}

// keptRow is a row with its line.
type keptRow struct {
	Line int `json:"line"`
	transfer.Row
}

// add keeps rows, [importPart] at most.
func (k *kept) add(rows []transfer.Row) error {
	k.count += len(rows)
	if k.file == nil {
		if len(k.list)+len(rows) <= importWhole {
			k.list = append(k.list, rows...)
			return nil
		}
		if err := k.create(); err != nil {
			return err
		}
		for len(k.list) > 0 {
			n := min(importPart, len(k.list))
			if err := k.put(k.list[:n]); err != nil {
				return err
			}
			k.list = k.list[n:]
		}
		k.list = nil
	}
	return k.put(rows)
}

func (k *kept) create() (err error) {
	seed := token.NewSeed()
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		return err
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return err
	}
	if k.file, err = os.CreateTemp("", "email_link-import-*"); err != nil {
		return err
	}
	k.out = bufio.NewWriter(k.file)
	_ = os.Remove(k.file.Name()) // where open files cannot be removed, close does it
	return nil
}

// nonce is the number of a part: the key is used for one file only.
func (k *kept) nonce(part uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, k.aead.NonceSize()-8), part)
}

func (k *kept) put(rows []transfer.Row) error {
	list := make([]keptRow, 0, len(rows))
	for _, row := range rows {
		list = append(list, keptRow{row.Line, row})
	}
	plain, err := json.Marshal(list)
	if err != nil {
		return err
	}
	sealed := k.aead.Seal(nil, k.nonce(k.parts), plain, nil)
	k.parts++
	_, err = k.out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(sealed))), sealed...)) //nolint:gosec // a few MiB
	return err
}

// each calls f with what has been kept, part by part, in the order of adding.
func (k *kept) each(f func([]transfer.Row) error) error {
	if k.file == nil {
		if len(k.list) == 0 {
			return nil
		}
		return f(k.list)
	}
	if err := k.out.Flush(); err != nil {
		return err
	}
	if _, err := k.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(k.file)
	for part := range k.parts {
		rows, err := k.get(in, part)
		if err != nil {
			return err
		}
		if err := f(rows); err != nil {
			return err
		}
	}
	return nil
}

func (k *kept) get(in io.Reader, part uint64) (rows []transfer.Row, err error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, err
	}
	sealed := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(in, sealed); err != nil {
		return nil, err
	}
	plain, err := k.aead.Open(nil, k.nonce(part), sealed, nil)
	if err != nil {
		return nil, err
	}
	var list []keptRow
	if err := json.Unmarshal(plain, &list); err != nil {
		return nil, err
	}
	for _, one := range list {
		one.Row.Line = one.Line
		rows = append(rows, one.Row)
	}
	return rows, nil
}

func (k *kept) close() {
	if k.file != nil {
		_ = k.file.Close()
		_ = os.Remove(k.file.Name()) // mostly gone already
	}
}
