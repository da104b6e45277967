// One server for every transport: `matrix.mjs http|sse|stdio|tcp|ws`, listening on $PORT where it listens. Built on the official SDK 1.x.
//
//   echo      answers its `message`
//   count     reports progress 1 … `to`, then answers
//   ask       asks the client `question` (elicitation) and answers what it was told
//   wait      never answers
//   awaited   how many calls of `wait` are waiting in this process, those that were cancelled left out
//   repeat    answers `text`, `times` times
//   exit      ends this process at once
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { tcp, WireTransport, ws } from '../lib/wires.mjs';

const says = text => ({ content: [{ type: 'text', text: String(text) }] });
let waiting = 0;

const tools = {
    echo: ({ message }) => says(message),
    repeat: ({ text, times }) => says(text.repeat(times)),
    exit: () => process.exit(7),
    awaited: () => says(waiting),
    wait: (args, { signal }) => {
        waiting += 1;
        signal.addEventListener('abort', () => (waiting -= 1));
        return new Promise(() => {});
    },
    count: async ({ to }, { sendNotification, _meta }) => {
        for (let progress = 1; progress <= to; progress++)
            await sendNotification({ method: 'notifications/progress', params: { progressToken: _meta.progressToken, progress, total: to } });
        return says(to);
    },
    ask: async ({ question }, extra, server) => {
        const requestedSchema = { type: 'object', properties: { answer: { type: 'string' } } };
        const { content } = await server.elicitInput({ message: question, requestedSchema }, { relatedRequestId: extra.requestId });
        return says(content.answer);
    }
};

function build() {
    const server = new Server({ name: 'matrix', version: '1.0.0' }, { capabilities: { tools: {} } });
    const list = Object.keys(tools).map(name => ({ name, inputSchema: { type: 'object' } }));
    server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: list }));
    server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => tools[params.name](params.arguments ?? {}, extra, server));
    return server;
}

function overHttp() {
    const sessions = new Map();
    createServer(async (request, response) => {
        let transport = sessions.get(request.headers['mcp-session-id']);
        if (!transport && request.headers['mcp-session-id']) return response.writeHead(404).end();
        if (!transport) {
            transport = new StreamableHTTPServerTransport({
                sessionIdGenerator: randomUUID,
                onsessioninitialized: id => sessions.set(id, transport)
            });
            await build().connect(transport);
        }
        await transport.handleRequest(request, response);
    }).listen(Number(process.env.PORT), '127.0.0.1');
}

function overEvents() {
    const sessions = new Map();
    createServer(async (request, response) => {
        const url = new URL(request.url, 'http://localhost');
        if (request.method === 'POST') {
            const transport = sessions.get(url.searchParams.get('sessionId'));
            return transport ? transport.handlePostMessage(request, response) : response.writeHead(404).end();
        }
        const transport = new SSEServerTransport('/messages', response);
        sessions.set(transport.sessionId, transport);
        response.on('close', () => sessions.delete(transport.sessionId));
        await build().connect(transport);
    }).listen(Number(process.env.PORT), '127.0.0.1');
}

const transports = {
    http: overHttp,
    sse: overEvents,
    stdio: () => build().connect(new StdioServerTransport()),
    tcp: () => tcp.listen(Number(process.env.PORT), wire => build().connect(new WireTransport(wire))),
    ws: () => ws.listen(Number(process.env.PORT), wire => build().connect(new WireTransport(wire)))
};
transports[process.argv[2]]();
