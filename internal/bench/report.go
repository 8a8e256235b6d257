package main

import (
	_ "embed" // the page
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// results are all that one run of the bench found.
type results struct {
	When    string
	CLI     string
	Release string
	Check   []measured // seeing that nothing has to be done
	Form    []measured // making three blank nodes one cluster
	Boots   []counted
	Growth  []grown
}

// counted is what one run of the CLI starts on the hosts.
type counted struct {
	Name     string
	Commands int
	Boots    int     // of RabbitMQ's CLI tools, each a virtual machine of its own
	CPU      float64 // seconds that the hosts burned
}

func (m measured) median() time.Duration { return median(m.Wall) }

func median[T time.Duration | float64](of []T) T {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func find(all []measured, name string) measured {
	return all[slices.IndexFunc(all, func(m measured) bool { return m.Name == name })]
}

// ratio is one figure that the project holds itself to.
type ratio struct {
	What  string
	Value float64
	Bound float64
}

// ratios compares medians. A plan's own part is what it takes beyond the CLI's plan of nothing.
func (r results) ratios() []ratio {
	wall := func(name string) float64 { return find(r.Check, name).median().Seconds() }
	own := func(name string) float64 { return wall(name) - wall(emptyPlan) }
	form := func(name string) float64 { return find(r.Form, name).median().Seconds() }
	return []ratio{
		{"own part of a plan of rabbitmq_cluster / floor", own(clusterPlan) / wall(floor), 0.8},
		{"own part of a plan of three rabbitmq_cluster_member / floor", own(membersPlan) / wall(floor), 0.8},
		{"the same without erl_call, rabbitmq_cluster / floor", own(clusterPlanCLI) / wall(floor), 1.2},
		{"the same without erl_call, three rabbitmq_cluster_member / floor", own(membersPlanCLI) / wall(floor), 1.2},
		{"whole plan of rabbitmq_cluster / Ansible, pipelined", wall(clusterPlan) / wall(ansiblePiped), 0.4},
		{"whole plan of three rabbitmq_cluster_member / Ansible, pipelined", wall(membersPlan) / wall(ansiblePiped), 0.4},
		{"forming three nodes / Ansible, as it is installed", form(clusterPlan) / form(ansible), 0.5},
		{"forming three nodes / Ansible, pipelined", form(clusterPlan) / form(ansiblePiped), 0.5},
		{"forming three nodes / Ansible, pipelined, may be run again", form(clusterPlan) / form(ansibleAgain), 0.5},
		{"forming three nodes / shell", form(clusterPlan) / form(shell), 1.1},
	}
}

func measuredTable(all []measured) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| | median | least | most | CPU of the hosts |\n|---|---|---|---|---|")
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %.2f s | %.2f s | %.2f s | %.2f s |\n", m.Name, m.median().Seconds(), slices.Min(m.Wall).Seconds(), slices.Max(m.Wall).Seconds(), median(m.CPU))
	}
	return b.String()
}

// CheckTable shows the plans without changes.
func (r results) CheckTable() string { return measuredTable(r.Check) }

// FormTable shows the ways to form a cluster.
func (r results) FormTable() string { return measuredTable(r.Form) }

// BootTable shows what runs on the hosts.
func (r results) BootTable() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| | commands over SSH | boots of a RabbitMQ CLI | CPU of the hosts |\n|---|---|---|---|")
	for _, c := range r.Boots {
		fmt.Fprintf(&b, "| %s | %d | %d | %.2f s |\n", c.Name, c.Commands, c.Boots, c.CPU)
	}
	return b.String()
}

// RatioTable holds the ratios against their bounds.
func (r results) RatioTable() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| | ratio | bound |\n|---|---|---|")
	for _, one := range r.ratios() {
		fmt.Fprintf(&b, "| %s | %.2f | %.1f |\n", one.What, one.Value, one.Bound)
	}
	return b.String()
}

// GrowthTable shows how a plan grows.
func (r results) GrowthTable() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| clusters | members of each | plan | SSH connections | commands | memory of the provider |\n|---|---|---|---|---|---|")
	for _, g := range r.Growth {
		fmt.Fprintf(&b, "| %d | %d | %.2f s | %d | %d | %d MB |\n", g.Clusters, g.Members, g.Wall.Seconds(), g.Connections, g.Commands, g.Memory/1_000_000)
	}
	return b.String()
}

func (r results) realTables() string {
	return "\n" + r.CheckTable() + "\n" + r.FormTable() + "\n" + r.BootTable() + "\n" + r.RatioTable() + "\n"
}

func (r results) growthTable() string { return "\n" + r.GrowthTable() }

//go:embed page.md.tmpl
var page string

// write writes the documentation's page, and the picture on it.
func (r results) write(dir string) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, r); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "performance.md"), []byte(b.String()), 0o644); err != nil { //nolint:gosec // G306: documentation
		return err
	}
	return os.WriteFile(filepath.Join("images", "performance.svg"), []byte(r.picture()), 0o644) //nolint:gosec // G306: documentation
}

// picture draws the medians as bars.
func (r results) picture() string {
	const left, width, line = 380, 420, 24
	var b strings.Builder
	y := 0
	draw := func(title string, all []measured) {
		y += line
		fmt.Fprintf(&b, "<text x=\"10\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y, title)
		most := 0.0
		for _, m := range all {
			most = max(most, m.median().Seconds())
		}
		for _, m := range all {
			y += line
			seconds, fill := m.median().Seconds(), "#9aa5b1"
			if strings.HasPrefix(m.Name, "this provider") {
				fill = "#ff6600"
			}
			bar := seconds / most * width
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left-8, y, m.Name)
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\" fill=\"%s\"/>\n", left, y-13, bar, line-8, fill)
			fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%d\">%.2f s</text>\n", left+bar+6, y, seconds)
		}
		y += line / 2
	}
	draw("Seeing that nothing has to be done", r.Check)
	draw("Making three blank nodes one cluster", r.Form)
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n%s</svg>\n",
		left+width+70, y+10, b.String())
}
