package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// imagePackages is all that debootstrap puts into an image. tcsh and fish are there as login shells: their quoting
// differs from sh's, and users have them.
const imagePackages = "systemd,systemd-sysv,dbus,openssh-server,sudo,iproute2,procps,rabbitmq-server,tcsh,fish"

//go:embed image.sh
var imageScript string

// imageTimeout bounds the building of one image; it takes one to two minutes.
const imageTimeout = 20 * time.Minute

// cacheDir holds the base images, outside any checkout.
func cacheDir() string {
	if dir := os.Getenv("RABBITMQ_LAB_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/rabbitmq-lab"
}

// ImagePath is where a release's base image is, or will be. The name carries a hash of the recipe: a changed recipe
// is another image, and labs that run on the old one are not disturbed.
func ImagePath(r Release) string {
	recipe := sha256.Sum256([]byte(imagePackages + "\n" + imageScript))
	return filepath.Join(cacheDir(), fmt.Sprintf("%s-%x", r.Suite, recipe[:4]))
}

// Image builds the release's base image unless it is there, and returns its path. Processes that need the same
// image at the same time build it once, and a killed build never leaves half an image.
func Image(ctx context.Context, r Release, progress io.Writer) (string, error) {
	image := ImagePath(r)
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cacheDir(), "."+r.Suite+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := lockFile(lock, false); errors.Is(err, errLocked) {
		report(progress, "another process builds the image of %s: waiting for it", r)
		if err := poll(ctx, 500*time.Millisecond, func() (bool, error) {
			err := lockFile(lock, false)
			return err == nil, ignore(err, errLocked)
		}); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}

	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	began := time.Now()
	report(progress, "building the image of %s: this happens once and takes some minutes", r)
	if err := buildImage(ctx, r, image, progress); err != nil {
		return "", fmt.Errorf("unable to build the image of %s: %w", r, err)
	}
	report(progress, "built the image of %s in %s", r, time.Since(began).Round(time.Second))
	removeOldImages(r, image)
	return image, nil
}

// buildImage runs debootstrap and image.sh in a directory beside the image and renames it when all is done.
func buildImage(ctx context.Context, r Release, image string, progress io.Writer) error {
	dir := filepath.Join(cacheDir(), ".building-"+r.Suite)
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	// A builder that was killed leaves debootstrap running and its mounts in place. Its cgroup has all of it.
	workers := cgroup(root).child("rmqlab-image-" + r.Suite)
	clean := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := workers.kill(ctx); err != nil {
			return err
		}
		if err := workers.remove(ctx); err != nil {
			return err
		}
		if err := unmountBelow(dir); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	}
	if err := clean(); err != nil {
		return err
	}
	defer func() { _ = clean() }()
	if err := workers.create(); err != nil {
		return err
	}
	if err := debootstrap(ctx, workers, r, dir, progress); err != nil {
		return err
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	report(progress, "image of %s: users, sshd, units", r)
	if err := customise(ctx, workers, dir); err != nil {
		return err
	}
	return os.Rename(dir, image)
}

// debootstrap fills dir with a Debian system. It names no mirror: debootstrap's own default has every suite.
func debootstrap(ctx context.Context, workers cgroup, r Release, dir string, progress io.Writer) error {
	argv := workers.entering("debootstrap", "--variant=minbase", "--include="+imagePackages, r.Suite, dir)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = apart()
	cmd.Cancel = func() error { return workers.write("cgroup.kill", "1") }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	var said []string
	phase, spoke := "", time.Now()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if said = append(said, line); len(said) > 20 {
			said = said[1:]
		}
		step, ok := strings.CutPrefix(line, "I: ")
		if !ok {
			continue
		}
		now, _, _ := strings.Cut(step, " ") // "Retrieving", "Unpacking", "Configuring", ...
		if now == "Validating" || now == "Checking" || now == "Valid" || now == "Target" || now == "Chosen" {
			continue
		}
		if now != phase || time.Since(spoke) > 15*time.Second {
			phase, spoke = now, time.Now()
			report(progress, "image of %s: %s", r, strings.TrimSpace(step))
		}
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("debootstrap %s: %w: %s", r.Suite, err, strings.Join(said, "\n"))
	}
	return nil
}

// customise runs image.sh inside the tree.
func customise(ctx context.Context, workers cgroup, dir string) error {
	argv := workers.entering("chroot", dir, "/bin/sh", "-s")
	_, err := finish(ctx, "", []string{"image.sh"}, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(imageScript)
		cmd.Env = append(hostEnvironment(), "PASSWORD="+Password, "DEBIAN_FRONTEND=noninteractive")
		cmd.Cancel = func() error { return workers.write("cgroup.kill", "1") }
		return cmd
	})
	return err
}

// removeOldImages removes what older recipes left, unless a lab runs on it.
func removeOldImages(r Release, keep string) {
	old, _ := filepath.Glob(filepath.Join(cacheDir(), r.Suite+"-*"))
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for _, dir := range old {
		if dir != keep && !strings.Contains(string(mounts), "lowerdir="+dir+",") {
			_ = os.RemoveAll(dir)
		}
	}
}

// unmountBelow unmounts everything at or below dir, deepest first.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var targets []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			targets = append(targets, f[1])
		}
	}
	var failed error
	for i := len(targets) - 1; i >= 0; i-- {
		failed = errors.Join(failed, ignore(unmount(targets[i]), fs.ErrNotExist))
	}
	return failed
}

func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

func report(w io.Writer, format string, args ...any) {
	if w != nil {
		_, _ = fmt.Fprintf(w, "lab: "+format+"\n", args...)
	}
}
