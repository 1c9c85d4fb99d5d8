package modules_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
)

// fakeServer speaks as much of MySQL's protocol as the driver needs, and answers
// what a test lets it. It tells texts from bound values, which is what a test of
// them wants to see.
type fakeServer struct {
	t      *testing.T
	answer func(query string, args []any) fakeAnswer

	mu      sync.Mutex
	queries []string // with the bound values behind each
	users   []string // user/database of each login
}

// fakeAnswer is a table, a number of rows, or an error.
type fakeAnswer struct {
	columns  []string // NAME or NAME:TYPE; the type is text, or int
	rows     [][]any  // nil, string
	affected int
	fails    string
}

func newFakeServer(t *testing.T, answer func(query string, args []any) fakeAnswer) *fakeServer {
	return &fakeServer{t: t, answer: answer}
}

// dial connects to the server.
func (s *fakeServer) dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close() // a pipe
		if err := (&fakeSession{s: s, conn: far, in: bufio.NewReader(far), prepared: map[uint32]string{}}).serve(); err != nil {
			s.t.Errorf("the fake server: %v", err)
		}
	}()
	s.t.Cleanup(func() { near.Close(); <-done }) // a pipe
	return near, nil
}

func (s *fakeServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.queries...)
}

func (s *fakeServer) ask(query string, args []any) fakeAnswer {
	s.mu.Lock()
	line := query
	if len(args) > 0 {
		line += fmt.Sprintf(" %v", args)
	}
	s.queries = append(s.queries, line)
	s.mu.Unlock()
	switch query {
	case "START TRANSACTION", "START TRANSACTION READ ONLY", "COMMIT", "ROLLBACK":
		return fakeAnswer{}
	}
	return s.answer(query, args)
}

type fakeSession struct {
	s        *fakeServer
	conn     net.Conn
	in       *bufio.Reader
	seq      byte
	prepared map[uint32]string
}

func (c *fakeSession) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	c.seq = head[3] + 1
	packet := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(c.in, packet)
	return packet, err
}

func (c *fakeSession) write(packets ...[]byte) error {
	var out []byte
	for _, p := range packets {
		out = append(out, byte(len(p)), byte(len(p)>>8), byte(len(p)>>16), c.seq)
		out = append(out, p...)
		c.seq++
	}
	_, err := c.conn.Write(out)
	return err
}

const fakeCapabilities = 0x1 | 0x2 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000

func (c *fakeSession) serve() error {
	hello := append([]byte{10}, "10.6.0-fake\x00"...)
	hello = append(hello, 1, 0, 0, 0)
	hello = append(hello, "12345678\x00"...)
	hello = binary.LittleEndian.AppendUint16(hello, fakeCapabilities&0xffff)
	hello = append(hello, 45, 2, 0)
	hello = binary.LittleEndian.AppendUint16(hello, fakeCapabilities>>16)
	hello = append(hello, 21)
	hello = append(hello, make([]byte, 10)...)
	hello = append(hello, "123456789012\x00mysql_native_password\x00"...)
	if err := c.write(hello); err != nil {
		return nil // the client has gone
	}
	login, err := c.read()
	if err != nil {
		return nil // the client has gone
	}
	c.s.mu.Lock()
	c.s.users = append(c.s.users, loginName(login))
	c.s.mu.Unlock()
	if err := c.write(fakeOK(0)); err != nil {
		return err
	}
	for {
		command, err := c.read()
		if err != nil || command[0] == 1 {
			return nil // the client has gone
		}
		if err := c.command(command); err != nil {
			return err
		}
	}
}

func loginName(login []byte) string {
	user, rest, _ := bytes.Cut(login[32:], []byte{0})
	rest = rest[1+int(rest[0]):]
	database, _, _ := bytes.Cut(rest, []byte{0})
	if string(database) == "mysql_native_password" {
		database = nil
	}
	return string(user) + "/" + string(database)
}

func (c *fakeSession) command(command []byte) error {
	switch command[0] {
	case 3: // COM_QUERY
		return c.reply(c.s.ask(string(command[1:]), nil), textRow)
	case 0x16: // COM_STMT_PREPARE
		id := uint32(len(c.prepared) + 1)
		query := string(command[1:])
		c.prepared[id] = query
		marks := strings.Count(query, "?")
		ok := binary.LittleEndian.AppendUint32([]byte{0}, id)
		ok = append(ok, 0, 0, byte(marks), byte(marks>>8), 0, 0, 0)
		packets := [][]byte{ok}
		for range marks {
			packets = append(packets, fakeColumn("?"))
		}
		if marks > 0 {
			packets = append(packets, fakeEOF)
		}
		return c.write(packets...)
	case 0x17: // COM_STMT_EXECUTE
		query := c.prepared[binary.LittleEndian.Uint32(command[1:])]
		return c.reply(c.s.ask(query, boundValues(command[10:], strings.Count(query, "?"))), binaryRow)
	case 0x19: // COM_STMT_CLOSE has no answer
		return nil
	case 0x0e: // COM_PING
		return c.write(fakeOK(0))
	}
	return fmt.Errorf("command %#x is not expected", command[0])
}

func (c *fakeSession) reply(a fakeAnswer, row func([]any) []byte) error {
	switch {
	case a.fails != "":
		return c.write(append([]byte{0xff, 0x7a, 0x04, '#', '4', '2', 'S', '0', '2'}, a.fails...))
	case a.columns == nil:
		return c.write(fakeOK(a.affected))
	}
	packets := [][]byte{{byte(len(a.columns))}}
	for _, name := range a.columns {
		packets = append(packets, fakeColumn(name))
	}
	packets = append(packets, fakeEOF)
	for _, values := range a.rows {
		packets = append(packets, row(values))
	}
	return c.write(append(packets, fakeEOF)...)
}

var fakeEOF = []byte{0xfe, 0, 0, 2, 0}

func fakeOK(affected int) []byte { return []byte{0, byte(affected), 0, 2, 0, 0, 0} }

func lenenc(text string) []byte { return append([]byte{byte(len(text))}, text...) }

func fakeColumn(spec string) []byte {
	name, kind, _ := strings.Cut(spec, ":")
	column := lenenc("def")
	for _, text := range []string{"", "", "", name, name} {
		column = append(column, lenenc(text)...)
	}
	column = append(column, 0x0c, 45, 0, 0, 1, 0, 0)
	code := byte(0xfd) // VARCHAR
	if kind == "decimal" {
		code = 0xf6
	}
	return append(column, code, 0, 0, 0, 0, 0)
}

func textRow(values []any) []byte {
	var row []byte
	for _, v := range values {
		if v == nil {
			row = append(row, 0xfb)
			continue
		}
		row = append(row, lenenc(fmt.Sprint(v))...)
	}
	return row
}

func binaryRow(values []any) []byte {
	row := append([]byte{0}, make([]byte, (len(values)+9)/8)...)
	for i, v := range values {
		if v == nil {
			row[1+(i+2)/8] |= 1 << ((i + 2) % 8)
			continue
		}
		row = append(row, lenenc(fmt.Sprint(v))...)
	}
	return row
}

// boundValues reads the values of an execution.
func boundValues(data []byte, n int) []any {
	if n == 0 {
		return nil
	}
	nulls := data[:(n+7)/8]
	types := data[len(nulls)+1:]
	rest := types[2*n:]
	values := make([]any, n)
	for i := range values {
		if nulls[i/8]&(1<<(i%8)) != 0 {
			continue
		}
		switch types[2*i] {
		case 1:
			values[i], rest = int64(int8(rest[0])), rest[1:]
		case 8:
			values[i], rest = int64(binary.LittleEndian.Uint64(rest)), rest[8:]
		case 5:
			values[i], rest = math.Float64frombits(binary.LittleEndian.Uint64(rest)), rest[8:]
		default:
			size := int(rest[0])
			values[i], rest = string(rest[1:1+size]), rest[1+size:]
		}
	}
	return values
}
