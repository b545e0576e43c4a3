package main

import (
	"context"
	"net"
	"syscall"
)

const (
	largest     = 65536
	soReusePort = 15 // which package syscall does not have
)

func reusePort(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

func echoDatagrams(socket *net.UDPConn) {
	buffer := make([]byte, largest)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			fail("%v", err)
		}
		// What cannot be sent is lost, as datagrams may be.
		_, _ = socket.WriteToUDPAddrPort(buffer[:n], from)
	}
}

// startUDP opens a socket for each worker, between which the kernel deals: readers of one socket would wait
// for each other.
func startUDP(options *options) (net.Addr, error) {
	var listening net.ListenConfig
	if options.workers > 1 {
		listening.Control = reusePort
	}
	address := options.listen
	var local net.Addr
	for i := 0; i < options.workers; i++ {
		socket, err := listening.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			return nil, err
		}
		local = socket.LocalAddr()
		address = local.String()
		go echoDatagrams(socket.(*net.UDPConn))
	}
	return local, nil
}
