package remote

import "strings"

// Quote gives a line that runs args, unchanged, in bash, dash, zsh, fish and tcsh. An argument cannot hold a NUL byte:
// no program can be given one.
//
// No single way of quoting is understood by all five, but this mixture is: fish treats \ and ' specially inside single
// quotes, so each stands outside of them; tcsh treats ! specially everywhere, but for a backslash before it.
// No shell but sh-like ones takes a newline in an argument, so a line with one leaves the work to /bin/sh, with the
// newline as a variable.
func Quote(args []string) string {
	words := make([]string, len(args))
	multiline := false
	for i, arg := range args {
		words[i] = quoteWord(arg)
		multiline = multiline || strings.Contains(arg, "\n")
	}
	if !multiline {
		return strings.Join(words, " ")
	}
	for i, arg := range args {
		lines := strings.Split(arg, "\n")
		for j, line := range lines {
			lines[j] = "'" + strings.ReplaceAll(line, "'", `'\''`) + "'"
		}
		words[i] = strings.Join(lines, `"$n"`)
	}
	return quoteShell(`n=$(printf "\012x"); n=${n%x}; exec ` + strings.Join(words, " "))
}

// quoteShell gives a line that has /bin/sh run a script of one line.
func quoteShell(script string, args ...string) string {
	return Quote(append([]string{"/bin/sh", "-c", script}, args...))
}

func quoteWord(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(word) {
		switch c := word[i]; c {
		case '\'':
			b.WriteString(`'"'"'`)
		case '\\':
			b.WriteString(`'\\'`)
		case '!':
			b.WriteString(`'\!'`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// plain are the characters that mean themselves in every shell, at any place of a word.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.-"
