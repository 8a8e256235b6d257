// Command diagram draws a diagram that is written as text, as SVG: boxes on a grid, and arrows between them.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"log"
	"math"
	"os"
	"strconv"
	"strings"
)

func main() {
	if err := draw(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// Of the grid, in pixels.
const (
	width, height = 190, 76
	gapX, gapY    = 90, 44
	margin        = 16
)

type box struct {
	x, y  int
	lines []string
}

type arrow struct{ from, to, text string }

// draw reads the text and writes the picture. What it does not understand is an error.
func draw(from io.Reader, to io.Writer) error {
	boxes := map[string]box{}
	var order []string
	var arrows []arrow
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		switch {
		case words[0] == "box" && len(words) > 4:
			column, errX := strconv.Atoi(words[2])
			row, errY := strconv.Atoi(words[3])
			if errX != nil || errY != nil {
				return fmt.Errorf("line %d: no column and row: %s", n, line)
			}
			one := box{x: margin + column*(width+gapX), y: margin + row*(height+gapY)}
			for text := range strings.SplitSeq(strings.Join(words[4:], " "), "|") {
				one.lines = append(one.lines, strings.TrimSpace(text))
			}
			boxes[words[1]] = one
			order = append(order, words[1])
		case words[0] == "arrow" && len(words) > 3:
			for _, end := range words[1:3] {
				if _, there := boxes[end]; !there {
					return fmt.Errorf("line %d: no box %s", n, end)
				}
			}
			arrows = append(arrows, arrow{words[1], words[2], strings.Join(words[3:], " ")})
		default:
			return fmt.Errorf("line %d is neither a box nor an arrow: %s", n, line)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return write(to, boxes, order, arrows)
}

func write(to io.Writer, boxes map[string]box, order []string, arrows []arrow) error {
	right, bottom := 0, 0
	for _, b := range boxes {
		right, bottom = max(right, b.x+width+margin), max(bottom, b.y+height+margin)
	}
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", right, bottom, right, bottom)
	svg.WriteString(`<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>` + "\n")
	fmt.Fprintf(&svg, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", right, bottom)
	for _, a := range arrows {
		x1, y1, x2, y2 := between(boxes[a.from], boxes[a.to])
		fmt.Fprintf(&svg, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#555" marker-end="url(#end)"/>`+"\n", x1, y1, x2, y2)
		fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="middle" font-size="11" fill="#333">%s</text>`+"\n", (x1+x2)/2, (y1+y2)/2-5, html.EscapeString(a.text))
	}
	for _, name := range order {
		b := boxes[name]
		fmt.Fprintf(&svg, `<rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="#f4f4f8" stroke="#555"/>`+"\n", b.x, b.y, width, height)
		for i, line := range b.lines {
			weight := ""
			if i == 0 {
				weight = ` font-weight="bold"`
			}
			y := b.y + height/2 + 5 + 18*i - 9*(len(b.lines)-1)
			fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="middle"%s>%s</text>`+"\n", b.x+width/2, y, weight, html.EscapeString(line))
		}
	}
	svg.WriteString("</svg>\n")
	_, err := io.WriteString(to, svg.String())
	return err
}

// between is the line from the edge of one box to the edge of the other.
func between(a, b box) (x1, y1, x2, y2 int) {
	ax, ay, bx, by := float64(a.x+width/2), float64(a.y+height/2), float64(b.x+width/2), float64(b.y+height/2)
	edge := func(x, y, dx, dy float64) (int, int) {
		scale := math.Min(width/2/math.Max(math.Abs(dx), 1e-9), height/2/math.Max(math.Abs(dy), 1e-9))
		return int(math.Round(x + dx*scale)), int(math.Round(y + dy*scale))
	}
	x1, y1 = edge(ax, ay, bx-ax, by-ay)
	x2, y2 = edge(bx, by, ax-bx, ay-by)
	return x1, y1, x2, y2
}
