package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

const picture = "../../../images/what-talks-to-what"

func TestPictureIsCurrent(t *testing.T) {
	text, err := os.Open(picture + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = text.Close() }()
	var drawn bytes.Buffer
	if err := draw(text, &drawn); err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile(picture + ".svg")
	if err != nil || !bytes.Equal(committed, drawn.Bytes()) {
		t.Errorf("%s.svg is stale: run make generate (%v)", picture, err)
	}
	decoder := xml.NewDecoder(&drawn)
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDrawRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, text := range []string{"circle a 0 0 text", "box a x 0 text", "box a 0 0 text\narrow a b text"} {
		if err := draw(strings.NewReader(text), io.Discard); err == nil {
			t.Errorf("%q was drawn", text)
		}
	}
}
