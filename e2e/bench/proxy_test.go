package main

import (
	"bufio"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestDelayCarriesBothWaysAndEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := echo.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = conn.Write([]byte("heard " + line))
	}()
	const trip = 40 * time.Millisecond
	d, err := newDelay(echo.Addr().String(), trip)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", d.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := conn.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || got != "heard one\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	if took := time.Since(began); took < 2*trip { // the connection's round trip and the line's
		t.Errorf("came back after %s, before two round trips of %s", took, trip)
	}
	conn.Close()
	<-done
	d.close()
}
