package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sync/errgroup"
)

var texts = []string{
	"hello",
	"grüße 漢字 🚀 \u2028 <b>&amp;</b> ñ",
	"quote \" backslash \\ slash / tab \t newline \n return \r bell \a escape \x1b nul \x00 delete \x7f",
}

// errUnsupported says that the server offers nothing to run the scenario with.
var errUnsupported = errors.New("unsupported")

type arguments = map[string]any

func until(condition func() bool, what string, within time.Duration) error {
	for deadline := time.Now().Add(within); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", within, what)
		}
	}
	return nil
}

func ready() { fmt.Fprintln(os.Stderr, "ready") }

func gate(options *options) error {
	path := os.Getenv("GATE")
	if path == "" {
		return nil
	}
	return until(func() bool { _, err := os.Stat(path); return err == nil }, "the gate "+path, options.timeout)
}

func expect(ctx context.Context, c *connection, tool string, in arguments, wanted string) error {
	text, isError, err := c.call(ctx, tool, in, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", tool, err)
	}
	if isError || text != wanted {
		return fmt.Errorf("%s: %q", tool, text[:min(len(text), 200)])
	}
	return nil
}

func large(ctx context.Context, c *connection, size int) error {
	if err := expect(ctx, c, "big", arguments{"size": size}, numbers(size)); err != nil {
		return err
	}
	return expect(ctx, c, "sink", arguments{"data": numbers(size)}, fmt.Sprint(size))
}

// offers fails unless the server has the tool.
func offers(ctx context.Context, c *connection, tool string) error {
	tools, err := c.tools(ctx)
	if err == nil && !tools[tool] {
		err = fmt.Errorf("%w: %s", errUnsupported, tool)
	}
	return err
}

var scenarios = map[string]func(context.Context, *connection, *options) error{
	"small": func(ctx context.Context, c *connection, _ *options) error {
		if err := offers(ctx, c, "echo"); err != nil {
			return err
		}
		for _, text := range texts {
			if err := expect(ctx, c, "echo", arguments{"text": text}, text); err != nil {
				return err
			}
		}
		return nil
	},
	"big300k": func(ctx context.Context, c *connection, _ *options) error { return large(ctx, c, 300_000) },
	"big8m":   func(ctx context.Context, c *connection, _ *options) error { return large(ctx, c, 8_000_000) },
	"concurrent8": func(ctx context.Context, c *connection, _ *options) error {
		var calls errgroup.Group
		for n := range 8 {
			calls.Go(func() error {
				if ms := 50 * (8 - n); n%2 == 1 {
					return expect(ctx, c, "slow", arguments{"ms": ms}, fmt.Sprintf("slept %d", ms))
				}
				text := fmt.Sprintf("concurrent %d", n)
				return expect(ctx, c, "echo", arguments{"text": text}, text)
			})
		}
		return calls.Wait()
	},
	"progress": func(ctx context.Context, c *connection, _ *options) error {
		before := c.count(&c.progress)
		text, isError, err := c.call(ctx, "progress", arguments{"steps": 5}, "progress-1")
		if err != nil {
			return err
		}
		if isError || text != "5 steps" {
			return errors.New(text)
		}
		return until(func() bool { return c.count(&c.progress) == before+5 }, "5 progress notifications", 10*time.Second)
	},
	"notify": func(ctx context.Context, c *connection, _ *options) error {
		if err := c.setLevel(ctx); err != nil {
			return err
		}
		before := c.count(&c.notes)
		if err := expect(ctx, c, "notify", arguments{"count": 3}, "3 notes"); err != nil {
			return err
		}
		return until(func() bool { return c.count(&c.notes) == before+3 }, "3 log notifications", 10*time.Second)
	},
	"errors": func(ctx context.Context, c *connection, _ *options) error {
		text, isError, err := c.call(ctx, "fail", arguments{}, nil)
		if err != nil {
			return err
		}
		if !isError || !strings.Contains(text, "on purpose") {
			return fmt.Errorf("fail: %s", text)
		}
		if offers(ctx, c, "error") == nil {
			_, _, err = c.call(ctx, "error", arguments{}, nil)
			if !isRequestError(err) || !strings.Contains(err.Error(), "on purpose") {
				return fmt.Errorf("error: %w", err)
			}
		}
		if _, isError, err = c.call(ctx, "no_such_tool", arguments{}, nil); !isError && !isRequestError(err) {
			return fmt.Errorf("an unknown tool was called: %w", err)
		}
		if err := c.unknownMethod(ctx); !isRequestError(err) {
			return fmt.Errorf("an unknown method was answered: %w", err)
		}
		return nil
	},
	"ask": func(ctx context.Context, c *connection, _ *options) error {
		if err := offers(ctx, c, "ask"); err != nil {
			return err
		}
		return expect(ctx, c, "ask", arguments{}, "hello Ada")
	},
	"resources": func(ctx context.Context, c *connection, _ *options) error {
		found := false
		for resource, err := range c.session.Resources(ctx, nil) {
			if err != nil {
				return err
			}
			found = found || resource.URI == documentURI
		}
		if !found {
			return errors.New("the document is not listed")
		}
		result, err := c.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: documentURI})
		if err != nil {
			return err
		}
		if result.Contents[0].Text != documentText {
			return errors.New("the document says something else")
		}
		return nil
	},
	"subscribe": func(ctx context.Context, c *connection, _ *options) error {
		if err := offers(ctx, c, "touch"); err != nil {
			return err
		}
		if err := c.subscribe(ctx, documentURI); err != nil {
			return err
		}
		before := c.count(&c.updated)
		if err := expect(ctx, c, "touch", arguments{}, "touched"); err != nil {
			return err
		}
		if err := until(func() bool { return c.count(&c.updated) > before }, "resources/updated", 10*time.Second); err != nil {
			return err
		}
		return c.session.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: documentURI})
	},
	"short": func(ctx context.Context, c *connection, _ *options) error {
		return expect(ctx, c, "echo", arguments{"text": "short"}, "short")
	},
	"slow": func(ctx context.Context, c *connection, _ *options) error {
		return expect(ctx, c, "slow", arguments{"ms": 7000}, "slept 7000")
	},
	"idle": func(ctx context.Context, c *connection, options *options) error {
		if err := expect(ctx, c, "echo", arguments{"text": "before"}, "before"); err != nil {
			return err
		}
		ready()
		if err := gate(options); err != nil {
			return err
		}
		return expect(ctx, c, "echo", arguments{"text": "after"}, "after")
	},
	"loop": func(ctx context.Context, c *connection, options *options) error {
		ready()
		if err := gate(options); err != nil {
			return err
		}
		for number := range options.count {
			text := fmt.Sprintf("call %d", number)
			if err := expect(ctx, c, "echo", arguments{"text": text}, text); err != nil {
				return err
			}
			time.Sleep(options.pause)
		}
		return nil
	},
	"calls": func(ctx context.Context, c *connection, options *options) error {
		var wanted []struct {
			Tool      string          `json:"tool"`
			Arguments json.RawMessage `json:"arguments"`
			IsError   bool            `json:"isError"`
			Contains  string          `json:"contains"`
		}
		if err := json.Unmarshal([]byte(options.calls), &wanted); err != nil {
			return err
		}
		tools, err := c.tools(ctx)
		if err != nil {
			return err
		}
		for _, call := range wanted {
			if !tools[call.Tool] {
				return fmt.Errorf("no tool %s", call.Tool)
			}
			if call.Arguments == nil {
				call.Arguments = json.RawMessage("{}")
			}
			text, isError, err := c.call(ctx, call.Tool, call.Arguments, nil)
			if err != nil && !isRequestError(err) {
				return err
			}
			if err != nil {
				text, isError = err.Error(), true
			}
			if isError != call.IsError || !strings.Contains(text, call.Contains) {
				return fmt.Errorf("%s: %s", call.Tool, text)
			}
		}
		return nil
	},
}

func parse(argv []string) (*options, error) {
	options := &options{}
	own := argv
	if at := slices.Index(argv, "--"); at >= 0 {
		own, options.command = argv[:at], argv[at+1:]
	}
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	names := flags.String("scenario", "small", "scenarios, separated by commas")
	flags.StringVar(&options.era, "era", "auto", "auto, legacy or modern")
	flags.IntVar(&options.count, "count", 10, "calls of the scenario loop")
	pause := flags.Int("pause-ms", 100, "pause between them")
	flags.StringVar(&options.calls, "calls", "[]", "calls of the scenario calls")
	timeout := flags.Float64("timeout", 300, "seconds")
	if err := flags.Parse(own); err != nil {
		return nil, err
	}
	options.names = strings.Split(*names, ",")
	options.pause = time.Duration(*pause) * time.Millisecond
	options.timeout = time.Duration(*timeout * float64(time.Second))
	for _, name := range options.names {
		if scenarios[name] == nil {
			return nil, fmt.Errorf("no scenario %s", name)
		}
	}
	if !slices.Contains([]string{"auto", "legacy", "modern"}, options.era) {
		return nil, fmt.Errorf("no era %s", options.era)
	}
	if len(options.command) == 0 {
		return nil, errors.New("no server command after --")
	}
	return options, nil
}

// runScenarios returns the name of the scenario that failed, if one did.
func runScenarios(ctx context.Context, options *options, log *truthLog) (scenario string, err error) {
	c, err := connect(ctx, options, log)
	if err != nil {
		return "", err
	}
	defer c.session.Close()
	if !slices.Contains(options.names, "idle") && !slices.Contains(options.names, "loop") {
		ready()
	}
	for _, name := range options.names {
		log.setScenario(name)
		if err := scenarios[name](ctx, c, options); err != nil {
			return name, err
		}
		report(map[string]any{"scenario": name, "ok": true})
	}
	return "", nil
}
