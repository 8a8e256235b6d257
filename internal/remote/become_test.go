package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const sesame = "open Sesame-1"

// asking is a sudo that wants a password: -n fails, -S asks with the prompt as ask shows it and takes want. After that
// the program "runs": it prints its input. The refusal quotes the command line, as sudo's does.
func asking(ask func(prompt string) string, want, refusal string) runnerFunc {
	return answers(func(_ context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
		_, options, asks := strings.Cut(line, " sudo -k -S -H -p ")
		if !asks {
			_, _ = io.WriteString(stderr, "sudo: a password is required\n")
			return 1, nil
		}
		words := strings.Fields(options)
		prompt := words[0]
		for _, c := range []byte(ask(prompt)) {
			_, _ = stderr.Write([]byte{c})
		}
		input := bufio.NewReader(stdin)
		if line, _ := input.ReadString('\n'); line != want+"\n" {
			_, _ = io.WriteString(stderr, "Sorry, try again.\n"+ask(prompt))
			if rest, _ := io.ReadAll(input); len(rest) > 0 {
				_, _ = fmt.Fprintf(stdout, "a second try %q", rest)
			}
			_, _ = io.WriteString(stderr, "sudo: no password was provided\n")
			return 1, nil
		}
		if refusal != "" {
			_, command, _ := strings.Cut(line, " -- ")
			_, _ = fmt.Fprintf(stderr, refusal+"\n", command)
			return 1, nil
		}
		a, b := halves(line)
		for _, c := range []byte(a + b + "\nits own words") {
			_, _ = stderr.Write([]byte{c})
		}
		if line, _ := input.ReadString('\n'); line != "go\n" {
			return 126, nil
		}
		rest, _ := io.ReadAll(input)
		_, _ = stdout.Write(rest)
		return 0, nil
	})
}

// halves finds the two halves of the mark in a command line: the two words of 26 letters after the script.
func halves(line string) (first, second string) {
	var found []string
	for _, word := range strings.Fields(line) {
		if len(word) == 26 && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" {
			found = append(found, word)
		}
	}
	return found[len(found)-2], found[len(found)-1]
}

func asPlain(prompt string) string { return prompt }

func TestPasswordIsGivenToSudoThatAsksForIt(t *testing.T) {
	for name, ask := range map[string]func(string) string{
		"sudo":    asPlain,
		"lecture": func(p string) string { return "We trust you have received the usual lecture.\n\n" + p },
		"sudo-rs": func(p string) string { return "[sudo: " + p + "] Password: " },
	} {
		h := New(asking(ask, sesame, ""), "rmq1", Options{Become: true, BecomePassword: NewSecret(sesame)})
		for range 2 { // the second time it knows
			result, err := h.Run(testContext(t), Command{Args: []string{"cat"}, User: "rabbitmq", Stdin: NewSecret("pay\nload")})
			if err != nil || string(result.Stdout) != "pay\nload" || string(result.Stderr) != "its own words" {
				t.Errorf("%s: %q %q %v", name, result.Stdout, result.Stderr, err)
			}
		}
	}
}

func TestWrongPasswordIsGivenOnce(t *testing.T) {
	h := New(asking(asPlain, "another", ""), "rmq1", Options{Become: true, BecomePassword: NewSecret(sesame)})
	result, err := h.Run(testContext(t), Command{Args: []string{"cat"}, User: "rabbitmq", Stdin: NewSecret("payload")})
	if got := as[*SudoError](t, err); got.Kind != SudoPasswordWrong {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "deploy", "rmq1", "become_password")
	if strings.Contains(err.Error(), sesame) || len(result.Stdout) > 0 {
		t.Errorf("%v; stdout %q", err, result.Stdout)
	}
}

func TestRefusalAfterThePasswordIsTold(t *testing.T) {
	h := New(asking(asPlain, sesame, "Sorry, user deploy is not allowed to execute '%s' as rabbitmq on rmq1."), "rmq1", Options{Become: true, BecomePassword: NewSecret(sesame)})
	_, err := h.Run(testContext(t), Command{Args: []string{"cat"}, User: "rabbitmq", Stdin: NewSecret("payload")})
	if got := as[*SudoError](t, err); got.Kind != SudoNotPermitted {
		t.Errorf("%+v", got)
	}
}

// What sudo asks beyond a password, nobody can answer; the wait for it is bounded and the program is known not to run.
func TestQuestionThatCannotBeAnswered(t *testing.T) {
	runner := answers(func(ctx context.Context, line string, stdin io.Reader, _, stderr io.Writer) (int, error) {
		if !strings.Contains(line, " -S ") {
			_, _ = io.WriteString(stderr, "sudo: a password is required\n")
			return 1, nil
		}
		_, _ = io.WriteString(stderr, "Verification code: ")
		if text, _ := io.ReadAll(stdin); len(text) > 0 {
			t.Errorf("it was told %q", text)
		}
		<-ctx.Done()
		return -1, ctx.Err()
	})
	h := New(runner, "rmq1", Options{Become: true, BecomePassword: NewSecret(sesame)})
	h.patience = time.Millisecond
	ctx := testContext(t)
	_, err := h.Run(ctx, Command{Args: []string{"cat"}, User: "rabbitmq"})
	if got := as[*SudoError](t, err); got.Kind != SudoNoPrompt {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "Verification code:")
	if ctx.Err() != nil {
		t.Error("it waited for the test's own end")
	}
}

func TestConnectionLostBehindSudo(t *testing.T) {
	broken := errors.New("the line broke")
	for _, began := range []bool{false, true} {
		runner := answers(func(_ context.Context, line string, _ io.Reader, _, stderr io.Writer) (int, error) {
			if !strings.Contains(line, " -S ") {
				_, _ = io.WriteString(stderr, "sudo: a password is required\n")
				return 1, nil
			}
			if began {
				a, b := halves(line)
				_, _ = io.WriteString(stderr, a+b+"\n")
			}
			return -1, broken
		})
		h := New(runner, "rmq1", Options{Become: true, BecomePassword: NewSecret(sesame)})
		_, err := h.Run(testContext(t), Command{Args: []string{"cat"}, User: "rabbitmq"})
		if !errors.Is(err, broken) || notStarted(err) == began {
			t.Errorf("began %v: %v", began, err)
		}
	}
}

func TestPasswordIsNotForThoseWhoDoNotAsk(t *testing.T) {
	runner := answers(func(_ context.Context, line string, stdin io.Reader, stdout, _ io.Writer) (int, error) {
		if strings.Contains(line, "sudo -k") || strings.Contains(line, sesame) {
			t.Errorf("it ran %s", line)
		}
		if stdin != nil {
			_, _ = io.Copy(stdout, stdin)
		}
		return 0, nil
	})
	for name, c := range map[string]struct {
		options Options
		user    string
	}{
		"sudo that wants none": {Options{Become: true}, "rabbitmq"},
		"the login user":       {Options{Become: true}, "deploy"},
		"doas":                 {Options{Become: true, BecomeMethod: Doas}, "rabbitmq"},
	} {
		c.options.BecomePassword = NewSecret(sesame)
		h := New(runner, "rmq1", c.options)
		if got := succeed(t, h, Command{Args: []string{"cat"}, User: c.user, Stdin: NewSecret("payload")}); got != "payload" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A refusal that no password mends gets none, and doas cannot be given one.
func TestPasswordIsNotForOtherRefusals(t *testing.T) {
	for text, options := range map[string]Options{
		"sudo: sorry, you must have a tty": {}, "Sorry, user deploy may not run sudo on rmq1.": {}, "doas: Authentication required": {BecomeMethod: Doas},
	} {
		options.Become, options.BecomePassword = true, NewSecret(sesame)
		ran := 0
		h := New(answers(func(_ context.Context, _ string, _ io.Reader, _, stderr io.Writer) (int, error) {
			ran++
			_, _ = io.WriteString(stderr, text+"\n")
			return 1, nil
		}), "rmq1", options)
		_, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: "rabbitmq"})
		as[*SudoError](t, err)
		if ran != 1 {
			t.Errorf("%s: it was tried %d times", text, ran)
		}
	}
}

func TestBecomeUserIsTheOnlyOne(t *testing.T) {
	ran := ""
	runner := answers(func(_ context.Context, line string, _ io.Reader, _, _ io.Writer) (int, error) {
		ran = line
		return 0, nil
	})
	h := New(runner, "rmq1", Options{Become: true, BecomeUser: "rabbitmq"})
	succeed(t, h, Command{Args: []string{"id"}, User: "rabbitmq"})
	contains(t, ran, "sudo -n -H -u rabbitmq -- id")
	ran = ""
	_, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: "root"})
	if got := as[*SudoError](t, err); got.Kind != SudoOnly || ran != "" {
		t.Errorf("%+v, ran %q", got, ran)
	}
	contains(t, err.Error(), "become_user allows rabbitmq alone")
	h = New(runner, "rmq1", Options{Become: true, BecomeUser: "root"})
	succeed(t, h, Command{Args: []string{"id"}, User: "rabbitmq"})
	contains(t, ran, "sudo -n -H -u root -- /bin/sh -c", "runuser", "rabbitmq")
}
