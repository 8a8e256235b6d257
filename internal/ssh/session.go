package ssh

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// session is one command. It is written on channels, not on the library's Session, whose Wait hangs when a writer
// fails or the command outlives the session's close.
type session struct {
	channel ssh.Channel
	done    chan struct{} // closed when the server has closed the channel and all output is written
	parts   sync.WaitGroup

	// set before done is closed
	exited bool
	code   int
	broken error // an exit status that cannot be read
}

type execRefused struct{}

func (*execRefused) Error() string { return "the request to run a command was denied" }

func newSession(channel ssh.Channel, requests <-chan *ssh.Request) *session {
	s := &session{channel: channel, done: make(chan struct{})}
	s.parts.Go(func() { s.listen(requests) })
	return s
}

// exec asks for the command; started says whether the server may have begun it.
func (s *session) exec(ctx context.Context, line string) (started bool, err error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	answer := make(chan error, 1)
	go func() {
		ok, err := s.channel.SendRequest("exec", true, ssh.Marshal(&struct{ Command string }{line}))
		if err == nil && !ok {
			err = &execRefused{}
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		return true, err
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
}

// drain moves the output until the channel ends.
func (s *session) drain(stdout, stderr io.Writer) {
	s.parts.Go(func() { _, _ = io.Copy(stdout, s.channel) }) // a sink never fails, a broken channel shows in listen
	s.parts.Go(func() { _, _ = io.Copy(stderr, s.channel.Stderr()) })
	go func() {
		s.parts.Wait()
		close(s.done)
	}()
}

// feed moves the input until it, or the channel, ends.
func (s *session) feed(stdin io.Reader) {
	go func() {
		if stdin != nil {
			_, _ = io.Copy(s.channel, stdin) // a command need not read its input; one that must checks its length
		}
		_ = s.channel.CloseWrite()
	}()
}

// listen takes the exit status.
func (s *session) listen(requests <-chan *ssh.Request) {
	for r := range requests {
		switch r.Type {
		case "exit-status":
			if len(r.Payload) < 4 {
				s.broken = errors.New("the server sent a malformed exit status")
				break
			}
			s.exited, s.code = true, int(binary.BigEndian.Uint32(r.Payload))
		case "exit-signal":
			var signal struct {
				Name       string
				CoreDumped bool
				Message    string
				Language   string
			}
			if err := ssh.Unmarshal(r.Payload, &signal); err != nil {
				s.broken = errors.New("the server sent a malformed exit signal")
				break
			}
			s.exited, s.code = true, 128+signalNumbers[signal.Name]
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

var signalNumbers = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
}

func (s *session) missing() error {
	if s.broken != nil {
		return s.broken
	}
	return errors.New("the session ended without an exit status")
}

// outputError is what a writer of the caller's gave, if that is what ended the command.
func (s *session) outputError(ctx context.Context) error {
	var failed *sinkError
	if errors.As(context.Cause(ctx), &failed) {
		return failed.err
	}
	return nil
}

// terminate and close only send; they must not be waited for, as a dead connection takes no writes.
func (s *session) terminate() {
	go func() {
		_, _ = s.channel.SendRequest("signal", false, ssh.Marshal(&struct{ Name string }{string(ssh.SIGTERM)}))
	}()
}

func (s *session) close() { go func() { _ = s.channel.Close() }() }

// sink takes everything: a reader that stops would fill the channel's window, and then the command never ends.
type sink struct {
	w      io.Writer
	failed func(error)
	broken bool
}

type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

func (s *sink) Write(p []byte) (int, error) {
	if s.w != nil && !s.broken {
		if _, err := s.w.Write(p); err != nil {
			s.broken = true
			s.failed(&sinkError{err})
		}
	}
	return len(p), nil
}
