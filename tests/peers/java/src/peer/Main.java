package peer;

import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.server.McpServer;
import io.modelcontextprotocol.server.McpServerFeatures.SyncResourceSpecification;
import io.modelcontextprotocol.server.McpSyncServer;
import io.modelcontextprotocol.server.McpSyncServerExchange;
import io.modelcontextprotocol.server.transport.StdioServerTransportProvider;
import io.modelcontextprotocol.spec.McpError;
import io.modelcontextprotocol.spec.McpSchema;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.CallToolResult;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiFunction;

/** The test server on the Java SDK (handshake era only). */
public final class Main {
    private Main() {}

    private interface Run extends BiFunction<McpSyncServerExchange, CallToolRequest, CallToolResult> {}

    private static CallToolResult text(String value) {
        return CallToolResult.builder().addTextContent(value).isError(false).build();
    }

    private static int number(CallToolRequest request, String name) {
        return ((Number) request.arguments().get(name)).intValue();
    }

    private static String string(CallToolRequest request, String name) {
        return (String) request.arguments().get(name);
    }

    private static CallToolResult slow(CallToolRequest request) {
        int ms = number(request, "ms");
        try {
            Thread.sleep(ms);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
        return text("slept " + ms);
    }

    private static CallToolResult progress(McpSyncServerExchange exchange, CallToolRequest request) {
        int steps = number(request, "steps");
        Object token = request.meta() == null ? null : request.meta().get("progressToken");
        for (int step = 1; token != null && step <= steps; step++) {
            exchange.progressNotification(new McpSchema.ProgressNotification(token, step, (double) steps, "step " + step));
        }
        return text(steps + " steps");
    }

    private static CallToolResult notify(McpSyncServerExchange exchange, CallToolRequest request) {
        int count = number(request, "count");
        for (int number = 1; number <= count; number++) {
            exchange.loggingNotification(
                    new McpSchema.LoggingMessageNotification(McpSchema.LoggingLevel.INFO, "peer", "note " + number));
        }
        return text(count + " notes");
    }

    private static CallToolResult ask(McpSyncServerExchange exchange) {
        Map<String, Object> schema =
                Map.of("type", "object", "properties", Map.of("name", Map.of("type", "string")), "required", List.of("name"));
        McpSchema.ElicitResult answer =
                exchange.createElicitation(McpSchema.ElicitFormRequest.builder("What is your name?", schema).build());
        return text("hello " + answer.content().get("name"));
    }

    private static McpServer.SyncSpecification<?> add(
            McpServer.SyncSpecification<?> specification, String name, String description, String argument, String type, Run run) {
        Map<String, Object> schema =
                argument == null
                        ? Map.of("type", "object", "properties", Map.of())
                        : Map.of("type", "object", "properties", Map.of(argument, Map.of("type", type)), "required", List.of(argument));
        McpSchema.Tool tool = McpSchema.Tool.builder(name, schema).description(description).build();
        return specification.toolCall(tool, run);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 0 || !arguments[0].equals("server")) {
            System.err.println("usage: peer server (the Java SDK's client gives no place to log its bytes)");
            System.exit(2);
        }
        TruthLog log = new TruthLog("server", arguments);
        CountDownLatch ended = new CountDownLatch(1);
        StdioServerTransportProvider transport =
                new StdioServerTransportProvider(
                        McpJsonDefaults.getMapper(), log.reads(System.in, ended::countDown), log.writes(System.out));
        AtomicReference<McpSyncServer> server = new AtomicReference<>();

        McpServer.SyncSpecification<?> specification =
                McpServer.sync(transport)
                        .serverInfo("peer-java", "1.0.0")
                        .requestTimeout(Duration.ofMinutes(5))
                        .capabilities(
                                McpSchema.ServerCapabilities.builder().logging().resources(true, false).tools(false).build());
        specification = add(specification, "echo", "Returns the text.", "text", "string", (e, r) -> text(string(r, "text")));
        specification =
                add(specification, "big", "Returns so many bytes of text.", "size", "integer", (e, r) -> text(Content.numbers(number(r, "size"))));
        specification =
                add(specification, "sink", "Returns the length of the data.", "data", "string",
                        (e, r) -> text(String.valueOf(string(r, "data").length())));
        specification = add(specification, "slow", "Answers after so many milliseconds.", "ms", "integer", (e, r) -> slow(r));
        specification =
                add(specification, "fail", "Fails as a tool fails.", null, null,
                        (e, r) -> CallToolResult.builder().addTextContent("failed on purpose").isError(true).build());
        specification =
                add(specification, "error", "Fails as a request fails.", null, null,
                        (e, r) -> {
                            throw McpError.builder(-32050).message("error on purpose").build();
                        });
        specification = add(specification, "progress", "Reports progress so many times.", "steps", "integer", Main::progress);
        specification = add(specification, "notify", "Sends so many log notifications.", "count", "integer", Main::notify);
        specification = add(specification, "ask", "Asks the user for a name.", null, null, (e, r) -> ask(e));
        specification =
                add(specification, "touch", "Says that the document changed.", null, null,
                        (e, r) -> {
                            server.get().notifyResourcesUpdated(new McpSchema.ResourcesUpdatedNotification(Content.DOCUMENT_URI));
                            return text("touched");
                        });
        McpSchema.Resource document = McpSchema.Resource.builder(Content.DOCUMENT_URI, "doc").mimeType("text/plain").build();
        specification =
                specification.resources(
                        new SyncResourceSpecification(
                                document,
                                (e, r) ->
                                        new McpSchema.ReadResourceResult(
                                                List.of(
                                                        new McpSchema.TextResourceContents(
                                                                Content.DOCUMENT_URI, "text/plain", Content.DOCUMENT_TEXT)))));
        server.set(specification.build());

        ended.await();
        server.get().closeGracefully();
        log.end();
        System.exit(0);
    }
}
