package ssh

import (
	"context"
	"sync"
)

// slots counts what may run at once. Its limit can shrink while it is in use.
type slots struct {
	mu      sync.Mutex
	limit   int
	taken   int
	waiting []chan struct{}
}

func newSlots(limit int) *slots { return &slots{limit: limit} }

// take waits for a slot, first come, first served.
func (s *slots) take(ctx context.Context) error {
	s.mu.Lock()
	if s.taken < s.limit && len(s.waiting) == 0 {
		s.taken++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{}, 1)
	s.waiting = append(s.waiting, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waiting {
		if w == turn {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return context.Cause(ctx)
		}
	}
	s.taken-- // the turn came at the same moment: pass it on
	s.next()
	return context.Cause(ctx)
}

// give returns a slot.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.next()
}

// shrink is for one who was turned away although it has a slot: the other side allows fewer. It returns the slot and
// lowers the limit to what is left in use; false, with the slot kept, when nothing else is in use.
func (s *slots) shrink() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken <= 1 {
		return false
	}
	s.taken--
	s.limit = min(s.limit, s.taken)
	s.next()
	return true
}

func (s *slots) next() {
	for s.taken < s.limit && len(s.waiting) > 0 {
		s.taken++
		s.waiting[0] <- struct{}{}
		s.waiting = s.waiting[1:]
	}
}
