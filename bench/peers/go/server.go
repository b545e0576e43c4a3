package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// The backlog of Go's listeners is the most that the kernel allows, which is 4096 unless it was told
// otherwise. Go sets TCP_NODELAY and SO_REUSEADDR, and raises the limit of descriptors, by itself.
var listening = net.ListenConfig{KeepAlive: -1}

// server makes a job of what begins to serve and returns where.
func server(start func(*options) (net.Addr, error)) func(*options) {
	return func(options *options) {
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		address, err := start(options)
		if err != nil {
			fail("%v", err)
		}
		fmt.Println("listening on", address)
		<-end
	}
}

func accept(listener net.Listener, serve func(*net.TCPConn)) {
	for {
		peer, err := listener.Accept()
		if err != nil {
			fail("%v", err)
		}
		go serve(peer.(*net.TCPConn))
	}
}

func startTCP(address string, serve func(*net.TCPConn)) (net.Addr, error) {
	listener, err := listening.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	go accept(listener, serve)
	return listener.Addr(), nil
}

// buffers are what connections read into: one that ends leaves its own to the next, and not to the collector.
var buffers = sync.Pool{New: func() any { return new([readMax]byte) }}

// answer returns when the connection has ended or is broken.
func answer(peer net.Conn, protocol *protocol) {
	defer peer.Close()
	buffer := buffers.Get().(*[readMax]byte)
	defer buffers.Put(buffer)
	var state state
	for {
		n, err := peer.Read(buffer[:])
		if err != nil {
			return
		}
		reply := protocol.reply(&state, buffer[:n])
		if len(reply) == 0 {
			continue // because an empty write is a system call
		}
		if _, err := peer.Write(reply); err != nil {
			return
		}
	}
}

func startAnswering(options *options, protocol *protocol) (net.Addr, error) {
	return startTCP(options.listen, func(peer *net.TCPConn) { answer(peer, protocol) })
}

func startEcho(options *options) (net.Addr, error) {
	return startAnswering(options, &protocol{})
}

func startPing(options *options) (net.Addr, error) {
	return startAnswering(options, newProtocol(countCommands, "+PONG\r\n", "x\n"))
}

func startHTTP(options *options) (net.Addr, error) {
	return startAnswering(options, newProtocol(countHeads, httpAnswer, "\r\n\r\n"))
}

func compute(hog hog) {
	for {
		for began := time.Now(); time.Since(began) < hog.computes; {
		}
		time.Sleep(hog.pauses)
	}
}

func startHog(options *options) (net.Addr, error) {
	if options.hog.computes > 0 {
		go compute(options.hog)
	}
	return startEcho(options)
}
