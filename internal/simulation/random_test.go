package simulation

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seed   = flag.Uint64("simulation.seed", 0, "run only the scenario of this seed, and tell it")
	runs   = flag.Int("simulation.runs", 110, "how many random scenarios to run at the most")
	box    = flag.Duration("simulation.time", 15*time.Second, "how long to run random scenarios at the most")
	from   = flag.Uint64("simulation.from", 1, "the first seed")
	show   = flag.Bool("simulation.points", false, "list the points at which faults struck")
	replay = flag.String("simulation.file", "", "run only the scenario in this file, and tell it")
)

// tell runs a scenario in a bubble of its own.
func tell(t *testing.T, s Scenario) (result Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { result = Tell(t.Context(), s) })
	return result
}

// shrink leaves out steps as long as the same scenario still fails.
func shrink(t *testing.T, s Scenario) (Scenario, Result) {
	t.Helper()
	result := tell(t, s)
	for again := true; again; {
		again = false
		for i := range s.Steps {
			less := s
			less.Steps = slices.Delete(slices.Clone(s.Steps), i, i+1)
			if r := tell(t, less); len(r.Problems) > 0 {
				s, result, again = less, r, true
				break
			}
		}
	}
	return s, result
}

func report(t *testing.T, s Scenario, r Result) {
	t.Helper()
	t.Logf("the scenario:\n%s\nwhat happened:\n%s\nthe world at the end:\n%s\nproblems:\n%s", s, strings.Join(r.Log, "\n"), r.World, strings.Join(r.Problems, "\n"))
}

func TestRandomStories(t *testing.T) {
	if *replay != "" {
		text, err := os.ReadFile(*replay)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		r := tell(t, s)
		report(t, s, r)
		if len(r.Problems) > 0 {
			t.Fail()
		}
		return
	}
	if *seed != 0 {
		s := Generate(*seed)
		r := tell(t, s)
		if len(r.Problems) > 0 {
			t.Fail()
			s, r = shrink(t, s)
		}
		report(t, s, r)
		return
	}
	var mu sync.Mutex
	points := map[string]bool{}
	var total Result
	began, done, failed := time.Now(), 0, 0
	next := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if done == *runs || time.Since(began) > *box || failed >= 5 {
			return 0, false
		}
		done++
		return *from + uint64(done) - 1, true //nolint:gosec // G115: a small number
	}
	// Each in turn, on every processor: subtests get a bubble each, and run side by side.
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed, more := next(); more; seed, more = next() {
				s := Generate(seed)
				r := tell(t, s)
				mu.Lock()
				for _, p := range r.Points {
					points[p] = true
				}
				total.Applies += r.Applies
				total.Refusals += r.Refusals
				total.Errors += r.Errors
				total.Strikes += r.Strikes
				if len(r.Problems) > 0 {
					failed++
				}
				mu.Unlock()
				if len(r.Problems) > 0 {
					report(t, s, r) // goroutines may run in another order the next time
					if less, shorter := shrink(t, s); len(shorter.Problems) > 0 {
						s, r = less, shorter
						report(t, s, r)
					}
					t.Errorf("seed %d: %s", s.Seed, strings.Join(r.Problems, "\n"))
				}
			}
		})
	}
	all.Wait()
	fmt.Printf("simulation: %d random stories in %s: %d applies succeeded, %d were refused, %d failed; %d faults struck, at %d distinct points\n",
		done, time.Since(began).Round(time.Millisecond), total.Applies, total.Refusals, total.Errors, total.Strikes, len(points))
	if *show {
		fmt.Println(strings.Join(slices.Sorted(maps.Keys(points)), "\n"))
	}
}

// Stories of problems that are known and not mended yet. One that goes well belongs among the stories.
func TestKnownProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/known/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if r := tell(t, s); len(r.Problems) == 0 {
			t.Logf("%s goes well now: move it to testdata/stories", name)
		} else {
			t.Logf("%s is still open: %s", name, r.Problems[0])
		}
	}
}

// Stories that once went wrong, and ones that have to be told in every version.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, s.Version = range s.Versions {
				if r := tell(t, s); len(r.Problems) > 0 {
					report(t, s, r)
					t.Errorf("%s: %s", s.Version, strings.Join(r.Problems, "\n"))
				}
			}
		})
	}
}
