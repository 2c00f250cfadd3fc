package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

func text(value string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: value}}}
}

type nothing struct{}

// addTool registers a tool that answers with text alone.
func addTool[In any](server *mcp.Server, name, description string, run func(context.Context, *mcp.CallToolRequest, In) (*mcp.CallToolResult, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name, Description: description},
		func(ctx context.Context, request *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
			result, err := run(ctx, request, in)
			return result, nil, err
		})
}

func buildServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "peer-go", Version: "1.0.0"}, &mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})

	addTool(server, "echo", "Returns the text.", func(_ context.Context, _ *mcp.CallToolRequest, in struct {
		Text string `json:"text"`
	}) (*mcp.CallToolResult, error) {
		return text(in.Text), nil
	})
	addTool(server, "big", "Returns so many bytes of text.", func(_ context.Context, _ *mcp.CallToolRequest, in struct {
		Size int `json:"size"`
	}) (*mcp.CallToolResult, error) {
		return text(numbers(in.Size)), nil
	})
	addTool(server, "sink", "Returns the length of the data.", func(_ context.Context, _ *mcp.CallToolRequest, in struct {
		Data string `json:"data"`
	}) (*mcp.CallToolResult, error) {
		return text(fmt.Sprint(len(in.Data))), nil
	})
	addTool(server, "slow", "Answers after so many milliseconds.", func(_ context.Context, _ *mcp.CallToolRequest, in struct {
		Ms int `json:"ms"`
	}) (*mcp.CallToolResult, error) {
		time.Sleep(time.Duration(in.Ms) * time.Millisecond)
		return text(fmt.Sprintf("slept %d", in.Ms)), nil
	})
	addTool(server, "fail", "Fails as a tool fails.", func(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, error) {
		return nil, errors.New("failed on purpose")
	})
	addTool(server, "error", "Fails as a request fails.", func(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, error) {
		return nil, &jsonrpc.Error{Code: -32050, Message: "error on purpose"}
	})
	addTool(server, "progress", "Reports progress so many times.", func(ctx context.Context, request *mcp.CallToolRequest, in struct {
		Steps int `json:"steps"`
	}) (*mcp.CallToolResult, error) {
		token := request.Params.GetProgressToken()
		for step := 1; token != nil && step <= in.Steps; step++ {
			err := request.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
				ProgressToken: token, Progress: float64(step), Total: float64(in.Steps), Message: fmt.Sprintf("step %d", step),
			})
			if err != nil {
				return nil, err
			}
		}
		return text(fmt.Sprintf("%d steps", in.Steps)), nil
	})
	addTool(server, "notify", "Sends so many log notifications.", func(ctx context.Context, request *mcp.CallToolRequest, in struct {
		Count int `json:"count"`
	}) (*mcp.CallToolResult, error) {
		for number := 1; number <= in.Count; number++ {
			err := request.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: fmt.Sprintf("note %d", number)})
			if err != nil {
				return nil, err
			}
		}
		return text(fmt.Sprintf("%d notes", in.Count)), nil
	})
	addTool(server, "ask", "Asks the user for a name, as the era has it.", func(_ context.Context, request *mcp.CallToolRequest, _ nothing) (*mcp.CallToolResult, error) {
		if answer, ok := request.Params.InputResponses["who"].(*mcp.ElicitResult); ok {
			return text(fmt.Sprintf("hello %v", answer.Content["name"])), nil
		}
		// To a client of the handshake era the SDK sends elicitation/create instead.
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"who": &mcp.ElicitParams{
			Mode:    "form",
			Message: "What is your name?",
			RequestedSchema: map[string]any{
				"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}, "required": []string{"name"},
			},
		}}}, nil
	})
	addTool(server, "touch", "Says that the document changed.", func(ctx context.Context, _ *mcp.CallToolRequest, _ nothing) (*mcp.CallToolResult, error) {
		if err := server.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: documentURI}); err != nil {
			return nil, err
		}
		return text("touched"), nil
	})

	server.AddResource(&mcp.Resource{Name: "doc", URI: documentURI, MIMEType: "text/plain"},
		func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
				{URI: documentURI, MIMEType: "text/plain", Text: documentText},
			}}, nil
		})
	return server
}

func serve() int {
	log := newTruthLog("server")
	// What mcp.StdioTransport makes of the standard streams, with the log in between.
	transport := &mcp.IOTransport{Reader: log.reader(os.Stdin), Writer: log.writer(keepOpen{os.Stdout})}
	err := buildServer().Run(context.Background(), transport)
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "peer:", err)
		return 1
	}
	log.end()
	return 0
}
