package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const modernVersion = "2026-07-28"

// A childTransport is mcp.CommandTransport with the log between the SDK and the pipes, for which that one has no place.
type childTransport struct {
	command *exec.Cmd
	log     *truthLog
}

func (t *childTransport) Connect(ctx context.Context) (mcp.Connection, error) {
	stdout, err := t.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stdin, err := t.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := t.command.Start(); err != nil {
		return nil, err
	}
	transport := &mcp.IOTransport{
		Reader: t.log.reader(io.NopCloser(stdout)),
		Writer: t.log.writer(&childInput{stdin, t.command}),
	}
	return transport.Connect(ctx)
}

// childInput ends the child as the SDK does: close its input and wait, then SIGTERM, then SIGKILL.
type childInput struct {
	io.WriteCloser
	command *exec.Cmd
}

func (c *childInput) Close() error {
	if err := c.WriteCloser.Close(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- c.command.Wait() }()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			_ = c.command.Process.Signal(signal)
		}
	}
	return <-done
}

type connection struct {
	session *mcp.ClientSession
	modern  bool

	mutex        sync.Mutex
	notes        int
	updated      int
	acknowledged int
	progress     int
}

func (c *connection) count(counter *int) int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return *counter
}

func (c *connection) add(counter *int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	*counter++
}

func connect(ctx context.Context, options *options, log *truthLog) (*connection, error) {
	c := &connection{}
	client := mcp.NewClient(&mcp.Implementation{Name: "peer-go", Version: "1.0.0"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
		},
		LoggingMessageHandler: func(context.Context, *mcp.LoggingMessageRequest) { c.add(&c.notes) },
		ResourceUpdatedHandler: func(_ context.Context, request *mcp.ResourceUpdatedNotificationRequest) {
			if request.Params.URI == documentURI {
				c.add(&c.updated)
			}
		},
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { c.add(&c.progress) },
	})
	client.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
			if method == "notifications/subscriptions/acknowledged" {
				c.add(&c.acknowledged)
			}
			return next(ctx, method, request)
		}
	})
	if err := mcp.AddSendingCustomMethod[*mcp.PingParams, *mcp.CallToolResult](client, "peers/unknown"); err != nil {
		return nil, err
	}

	command := exec.Command(options.command[0], options.command[1:]...)
	command.Stderr = os.Stderr
	version := modernVersion
	if options.era == "legacy" {
		version = "2025-11-25"
	}
	session, err := client.Connect(ctx, &childTransport{command, log}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		return nil, err
	}
	c.session = session
	c.modern = session.InitializeResult().ProtocolVersion == modernVersion
	if options.era == "modern" && !c.modern {
		return nil, fmt.Errorf("the server is of the era of %s", session.InitializeResult().ProtocolVersion)
	}
	return c, nil
}

func (c *connection) tools(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	for tool, err := range c.session.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names[tool.Name] = true
	}
	return names, nil
}

func (c *connection) call(ctx context.Context, tool string, arguments any, progressToken any) (string, bool, error) {
	parameters := &mcp.CallToolParams{Name: tool, Arguments: arguments, Meta: mcp.Meta{}}
	if c.modern {
		// In the modern era each request says which log messages it wants.
		parameters.Meta[mcp.MetaKeyLogLevel] = "debug"
	}
	if progressToken != nil {
		parameters.SetProgressToken(progressToken)
	}
	result, err := c.session.CallTool(ctx, parameters)
	if err != nil {
		return "", false, err
	}
	var text strings.Builder
	for _, part := range result.Content {
		if part, ok := part.(*mcp.TextContent); ok {
			text.WriteString(part.Text)
		}
	}
	return text.String(), result.IsError, nil
}

func (c *connection) unknownMethod(ctx context.Context) error {
	_, err := mcp.CallCustomMethod[*mcp.PingParams, *mcp.CallToolResult](ctx, c.session, "peers/unknown", &mcp.PingParams{})
	return err
}

func (c *connection) setLevel(ctx context.Context) error {
	if c.modern {
		return nil
	}
	return c.session.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: "debug"})
}

func (c *connection) subscribe(ctx context.Context, uri string) error {
	before := c.count(&c.acknowledged)
	if err := c.session.Subscribe(ctx, &mcp.SubscribeParams{URI: uri}); err != nil {
		return err
	}
	if !c.modern {
		return nil
	}
	return until(func() bool { return c.count(&c.acknowledged) > before }, "the subscription is acknowledged", 10*time.Second)
}

func isRequestError(err error) bool {
	var wire *jsonrpc.Error
	return errors.As(err, &wire)
}

type options struct {
	names   []string
	era     string
	count   int
	pause   time.Duration
	calls   string
	timeout time.Duration
	command []string
}

func runClient(arguments []string) int {
	options, err := parse(arguments)
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		return 2
	}
	log := newTruthLog("client")
	ctx, cancel := context.WithTimeout(context.Background(), options.timeout)
	defer cancel()
	scenario, err := runScenarios(ctx, options, log)
	code := 0
	if err != nil {
		code = 1
		if errors.Is(err, errUnsupported) {
			code = 3
		}
		report(map[string]any{"scenario": scenario, "ok": false, "unsupported": code == 3, "error": err.Error()})
	}
	log.end()
	return code
}

func report(entry map[string]any) {
	text, _ := json.Marshal(entry)
	fmt.Println(string(text))
}
