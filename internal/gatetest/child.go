package gatetest

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Patience is how long is waited for what a process has to do. Nothing takes nearly as long, on a busy machine either.
const Patience = 4 * time.Minute

// Child is a process that this one has started.
type Child struct {
	*exec.Cmd
	// Output is what it has printed to where its command had not set Stdout or Stderr.
	Output *Output
	// Ended is closed when the process has ended; Err is then what Wait returned.
	Ended chan struct{}
	Err   error
}

// Start starts a process and waits for its end in the background.
func Start(cmd *exec.Cmd) (*Child, error) {
	c := &Child{Cmd: cmd, Output: new(Output), Ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = c.Output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = c.Output
	}
	cmd.WaitDelay = 5 * time.Second // for what its children hold open
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.Err = cmd.Wait()
		close(c.Ended)
	}()
	return c, nil
}

// Await calls up every so often until it returns nil. It gives up when the process has ended, and after Patience.
func (c *Child) Await(every time.Duration, up func() error) error {
	for deadline := time.Now().Add(Patience); ; {
		err := up()
		if err == nil {
			return nil
		}
		select {
		case <-c.Ended:
			return fmt.Errorf("%s has ended: %w", c.Path, errors.Join(c.Err, err))
		case <-time.After(every): // polling another process
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", c.Path, err)
		}
	}
}

// Stop ends the process in an orderly way, or by force where it takes too long. It may have ended.
func (c *Child) Stop() {
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		_ = c.Process.Kill() // it has ended, or the system has no signals
	}
	select {
	case <-c.Ended:
	case <-time.After(Patience / 2):
		c.Kill()
	}
}

// Kill ends the process as a power cut would, and waits for its end. It may have ended.
func (c *Child) Kill() {
	_ = c.Process.Kill()
	<-c.Ended
}

// Output is what a process has printed so far.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String implements fmt.Stringer.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
