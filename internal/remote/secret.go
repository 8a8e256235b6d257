package remote

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is content that must not be printed: a cookie, a file, a command's input. Every way of formatting or encoding
// one gives a fixed text. The zero value is empty.
type Secret struct{ content []byte }

const hidden = "(hidden)"

// NewSecret holds a copy of content.
func NewSecret[T ~string | ~[]byte](content T) Secret { return Secret{append([]byte(nil), content...)} }

// Reveal gives the content. It must go nowhere but to a command's input.
func (s Secret) Reveal() []byte { return append([]byte(nil), s.content...) }

// Len is the number of bytes.
func (s Secret) Len() int { return len(s.content) }

// IsZero says whether there is no content.
func (s Secret) IsZero() bool { return len(s.content) == 0 }

// String hides the content.
func (Secret) String() string { return hidden }

// GoString hides the content.
func (Secret) GoString() string { return hidden }

// Format hides the content from every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// LogValue hides the content.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the content.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the content.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
