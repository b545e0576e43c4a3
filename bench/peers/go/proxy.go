package main

import (
	"errors"
	"io"
	"net"
)

const copyBuffer = 65536

// copyPlainly hides that the connection can splice.
func copyPlainly(to, from *net.TCPConn) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, from, make([]byte, copyBuffer))
	return err
}

func splice(to, from *net.TCPConn) error {
	_, err := io.Copy(to, from)
	return err
}

// pass copies one way, and ends both if that breaks.
func pass(to, from *net.TCPConn, copy func(to, from *net.TCPConn) error) {
	err := copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		to.Close()
		from.Close()
	}
}

// relay returns when both ways have ended.
func relay(near *net.TCPConn, address string, copy func(to, from *net.TCPConn) error) {
	defer near.Close()
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	far := conn.(*net.TCPConn)
	done := make(chan struct{})
	go func() {
		pass(near, far, copy)
		close(done)
	}()
	pass(far, near, copy)
	<-done
}

func startProxy(options *options) (net.Addr, error) {
	if options.to == "" {
		return nil, errors.New("proxy needs --to")
	}
	copy := splice
	if options.copy {
		copy = copyPlainly
	}
	return startTCP(options.listen, func(near *net.TCPConn) { relay(near, options.to, copy) })
}
