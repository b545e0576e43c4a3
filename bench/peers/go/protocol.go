package main

import "bytes"

// What the TCP jobs answer: echo, and requests that are counted and not understood. The same lines as
// ../common/protocol.c.

// The most that is read, and given to reply, at once.
const readMax = 16384

const httpAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"

// state is where a connection is within a request.
type state struct {
	skip    int  // bytes that belong to a string
	strings int  // that are still to come
	number  int  // that the line says
	matched int  // of what ends a request
	line    byte // the kind of line that has begun, its first byte
}

// endOfLine returns 1 if it was the whole request.
func (s *state) endOfLine() int {
	line, number := s.line, s.number
	s.line, s.number = 0, 0
	switch line {
	case '*':
		s.strings = number
	case '$':
		s.skip = number + 2 // the string and the line end behind it
	case '\r', '\n':
	default:
		return 1
	}
	return 0
}

// endOfString returns 1 if the string that has been passed was the last one.
func (s *state) endOfString() int {
	s.strings--
	if s.strings == 0 {
		return 1
	}
	return 0
}

func countCommands(s *state, data []byte) int {
	count := 0
	for i := 0; i < len(data); {
		if s.skip > 0 {
			part := len(data) - i
			if part > s.skip {
				part = s.skip
			}
			i += part
			s.skip -= part
			if s.skip == 0 {
				count += s.endOfString()
			}
			continue
		}
		b := data[i]
		i++
		if s.line == 0 {
			s.line = b
		} else if b >= '0' && b <= '9' {
			s.number = s.number*10 + int(b-'0')
		}
		if b == '\n' {
			count += s.endOfLine()
		}
	}
	return count
}

// countHeads: heads end with an empty line, and no request has a body.
func countHeads(s *state, data []byte) int {
	count := 0
	for len(data) > 0 {
		if s.matched == 0 {
			at := bytes.IndexByte(data, '\r')
			if at < 0 {
				return count
			}
			data = data[at:]
		}
		b := data[0]
		data = data[1:]
		if b == "\r\n\r\n"[s.matched] {
			s.matched++
		} else if b == '\r' {
			s.matched = 1
		} else {
			s.matched = 0
		}
		if s.matched == 4 {
			s.matched = 0
			count++
		}
	}
	return count
}

type protocol struct {
	count   func(*state, []byte) int // nil: the request is the answer
	length  int                      // of an answer
	answers []byte                   // as many in a row as there can be in one read
}

// newProtocol: what is counted as a request has at least the length of shortest.
func newProtocol(count func(*state, []byte) int, answer, shortest string) *protocol {
	answers := bytes.Repeat([]byte(answer), readMax/len(shortest)+1)
	return &protocol{count, len(answer), answers}
}

// reply returns what is to be sent for these bytes: nothing if no request has ended yet.
func (p *protocol) reply(s *state, data []byte) []byte {
	if p.count == nil {
		return data
	}
	return p.answers[:p.count(s, data)*p.length]
}
