// The official clients behind one face, so that a scene is written once: the TypeScript SDK 1.x, and the client package 2.x
// with the handshake it does by default (legacy) and with the one that asks the server first (auto).
import * as one from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks';
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import * as two from '@modelcontextprotocol/client';
import * as z from 'zod/v4';
import { until } from './process.mjs';

export const clientInfo = { name: 'weir-e2e', version: '1.0.0' };

/* What a client that can sample, elicit and list roots declares. */
export const able = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };

/* The same, and it runs what it is asked for as tasks. */
export const taskable = {
    ...able,
    tasks: { list: {}, cancel: {}, requests: { sampling: { createMessage: {} }, elicitation: { create: {} } } }
};

const schemas1 = {
    'sampling/createMessage': CreateMessageRequestSchema,
    'elicitation/create': ElicitRequestSchema,
    'roots/list': ListRootsRequestSchema
};

/* A fetch that knows when the stream for what the server says unasked (GET) is open, or was refused. */
function watchedFetch() {
    let settle;
    const listening = new Promise(resolve => (settle = resolve));
    const watched = async (url, init) => {
        const response = await fetch(url, init);
        if (init?.method === 'GET') settle(response.status);
        return response;
    };
    return { watched, listening };
}

/* A 1.x handler that does as a task what it is asked to do as a task. */
const asTask = answer => async (request, extra) => {
    const result = await answer(request.params);
    if (!request.params?.task) return result;
    const task = await extra.taskStore.createTask({ ttl: request.params.task.ttl, pollInterval: 100 });
    setImmediate(() => extra.taskStore.storeTaskResult(task.taskId, 'completed', result));
    return { task };
};

function build1(capabilities, answers) {
    const taskStore = capabilities.tasks && new InMemoryTaskStore();
    const client = new one.Client(clientInfo, { capabilities, ...(taskStore && { taskStore }) });
    client.onclose = () => taskStore?.cleanup(); // its timers would keep the process running
    for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(schemas1[method], asTask(answer));
    const callTool = (name, args = {}, options) => client.callTool({ name, arguments: args }, undefined, options);
    const callAsTask = async (name, args) => {
        await client.listTools(); // tells the client which tools want to be called as tasks
        const seen = [];
        for await (const message of client.experimental.tasks.callToolStream({ name, arguments: args })) {
            seen.push(message.type);
            if (message.type === 'error') throw message.error;
            if (message.type === 'result') return { result: message.result, seen };
        }
        throw new Error(`the task ended without a result: ${seen}`);
    };
    return { client, callTool, callAsTask };
}

function build2(capabilities, answers, mode) {
    const client = new two.Client(clientInfo, { capabilities, versionNegotiation: { mode } });
    for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, ({ params }) => answer(params));
    const callTool = (name, args = {}, options) => client.callTool({ name, arguments: args }, options);
    const any = z.looseObject({});
    const callAsTask = async (name, args) => {
        const { task } = await client.request({ method: 'tools/call', params: { name, arguments: args, task: { ttl: 60000 } } }, any);
        const result = await client.request({ method: 'tasks/result', params: { taskId: task.taskId } }, any);
        return { result, seen: ['taskCreated', 'result'] };
    };
    return { client, callTool, callAsTask };
}

export const kinds = {
    'client 1.x': { build: build1, Transport: Transport1 },
    'client 2.x': { build: (...args) => build2(...args, 'legacy'), Transport: two.StreamableHTTPClientTransport },
    'client 2.x auto': { build: (...args) => build2(...args, 'auto'), Transport: two.StreamableHTTPClientTransport }
};

/* Connects a client of that kind. `answers` are what it says when the server asks; all it is notified of is in `heard`, and
 * `hears(matches)` waits for one such notification. */
export async function connect(kind, url, { capabilities = {}, answers = {} } = {}) {
    const { build, Transport } = kinds[kind];
    const face = build(capabilities, answers);
    const { client } = face;
    const { watched, listening } = watchedFetch();
    const transport = new Transport(new URL(url), { fetch: watched });
    const heard = [];
    client.fallbackNotificationHandler = async notification => void heard.push(notification);
    await client.connect(transport);
    const isLegacy = client.getProtocolEra?.() !== 'modern';
    if (isLegacy) await listening;
    const hears = matches =>
        until(
            () => heard.find(matches),
            () => `the client hears ${matches}; it heard ${JSON.stringify(heard)}`
        );
    const close = async () => {
        if (isLegacy) await transport.terminateSession();
        await client.close();
    };
    return { ...face, kind, transport, heard, hears, close, isLegacy, session: transport.sessionId };
}
