// The server that the conformance runner's server scenarios expect (they call tools, resources and prompts by fixed names),
// in both protocol eras, built on the official server SDK 2.x. `http` listens on $PORT, `stdio` speaks on its pipes.
// The names and texts are the scenarios'; the SDK's own conformance fixture passes the same ones.
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { localhostHostValidation, NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import {
    acceptedContent,
    classifyInboundRequest,
    CLIENT_CAPABILITIES_META_KEY,
    createMcpHandler,
    createRequestStateCodec,
    fromJsonSchema,
    inputRequired,
    isInitializeRequest,
    McpServer,
    ResourceTemplate
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod/v4';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));
const text = words => ({ type: 'text', text: words });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const says = words => ({ content: [text(words)] });
const resource = (uri, mimeType, words) => ({ type: 'resource', resource: { uri, mimeType, text: words } });
const form = (message, name, type = 'string') =>
    inputRequired.elicit({ message, requestedSchema: { type: 'object', properties: { [name]: { type } }, required: [name] } });
const prompt = (message, maxTokens) =>
    inputRequired.createMessage({ messages: [{ role: 'user', content: text(message) }], maxTokens });

// What a client hands back as requestState is sealed, so that the SDK refuses what this process did not make.
const sealed = createRequestStateCodec({ key: randomBytes(32) });

const transports = new Map(); // legacy HTTP sessions by id

function buildServer(changed) {
    const server = new McpServer(
        { name: 'weir-conformance-server', version: '1.0.0' },
        {
            capabilities: {
                tools: { listChanged: true },
                resources: { subscribe: true, listChanged: true },
                prompts: { listChanged: true },
                logging: {},
                completions: {}
            },
            requestState: { verify: sealed.verify }
        }
    );
    const tool = (name, run, inputSchema = z.object({})) => server.registerTool(name, { description: name, inputSchema }, run);
    const log = data => server.server.notification({ method: 'notifications/message', params: { level: 'info', data } });

    contents(tool);
    streams(tool);
    questions(tool);
    roundTrips(tool);
    schemas(tool);
    tool('test_trigger_tool_change', async () => (await changed.tools(server), says('published')));
    tool('test_trigger_prompt_change', async () => (await changed.prompts(server), says('published')));
    resources(server, log);
    prompts(server);
    server.server.setRequestHandler('logging/setLevel', async ({ params }) => (await log(`level ${params.level}`), {}));
    server.server.setRequestHandler('completion/complete', async () => ({ completion: { values: [], total: 0, hasMore: false } }));
    return server;
}

function contents(tool) {
    tool('test_simple_text', async () => says('This is a simple text response for testing.'));
    tool('test_image_content', async () => ({ content: [image] }));
    tool('test_audio_content', async () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }));
    tool('test_embedded_resource', async () => ({
        content: [resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')]
    }));
    tool('test_multiple_content_types', async () => ({
        content: [
            text('Multiple content types test:'),
            image,
            resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')
        ]
    }));
    tool('test_error_handling', async () => {
        throw new Error('This tool intentionally returns an error for testing');
    });
}

function streams(tool) {
    tool('test_tool_with_logging', async (_, { mcpReq }) => {
        for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed'])
            await mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
        return says('Tool with logging executed successfully');
    });
    tool('test_logging_tool', async (_, { mcpReq }) => (await mcpReq.log('info', 'only for who asked'), says('logged')));
    tool('test_streaming_elicitation', async () => says('a result and nothing else'));
    tool('test_tool_with_progress', async (_, { mcpReq }) => {
        const progressToken = mcpReq._meta?.progressToken;
        for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
            const message = `Completed step ${progress} of 100`;
            await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100, message } });
        }
        return says(String(progressToken ?? 'no-progress-token'));
    });
    tool('test_reconnection', async (_, { sessionId, mcpReq }) => {
        transports.get(sessionId)?.closeSSEStream(mcpReq.id);
        await pause(100); // the client is away meanwhile
        return says('Reconnection test completed successfully.');
    });
}

function questions(tool) {
    const asks = (name, method, params, answer, inputSchema) =>
        tool(name, async (args, { mcpReq }) => says(answer(await mcpReq.send({ method, params: params(args) }))), inputSchema);
    const elicited = ({ action, content }) => `Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`;
    const fields = (name, message, properties) =>
        asks(
            name,
            'elicitation/create',
            () => ({ message, requestedSchema: { type: 'object', properties, required: [] } }),
            elicited
        );

    asks(
        'test_sampling',
        'sampling/createMessage',
        args => ({ messages: [{ role: 'user', content: text(args.prompt) }], maxTokens: 100 }),
        ({ content }) => `LLM response: ${content?.text}`,
        z.object({ prompt: z.string() })
    );
    asks(
        'test_elicitation',
        'elicitation/create',
        ({ message }) => ({
            message,
            requestedSchema: { type: 'object', properties: { response: { type: 'string' } }, required: ['response'] }
        }),
        ({ action, content }) => `User response: action=${action}, content=${JSON.stringify(content ?? {})}`,
        z.object({ message: z.string() })
    );
    fields('test_elicitation_sep1034_defaults', 'Please review the form fields', {
        name: { type: 'string', default: 'John Doe' },
        age: { type: 'integer', default: 30 },
        score: { type: 'number', default: 95.5 },
        status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
        verified: { type: 'boolean', default: true }
    });
    const [one, two, three] = ['First', 'Second', 'Third'].map((word, i) => ({ const: `value${i + 1}`, title: `${word} Option` }));
    fields('test_elicitation_sep1330_enums', 'Please select options', {
        untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
        titledSingle: { type: 'string', oneOf: [one, two, three] },
        legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
        untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
        titledMulti: { type: 'array', items: { anyOf: [one, two, three] } }
    });
}

// Tools that answer with InputRequiredResult until the retry carries what they asked for.
function roundTrips(tool) {
    const named = responses => acceptedContent(responses, 'user_name')?.name;

    tool('test_input_required_result_elicitation', async (_, { mcpReq }) => {
        const name = named(mcpReq.inputResponses);
        if (typeof name === 'string') return says(`Hello, ${name}!`);
        return inputRequired({ inputRequests: { user_name: form('What is your name?', 'name') } });
    });
    tool('test_input_required_result_sampling', async (_, { mcpReq }) => {
        const answer = mcpReq.inputResponses?.capital_question;
        if (answer) return says(`Sampling response: ${answer.content?.text}`);
        return inputRequired({ inputRequests: { capital_question: prompt('What is the capital of France?', 100) } });
    });
    tool('test_missing_capability', async (_, { mcpReq }) => {
        if (mcpReq.inputResponses?.llm_answer) return says('sampling round-trip complete');
        return inputRequired({ inputRequests: { llm_answer: prompt('Reply with the single word: pong', 16) } });
    });
    tool('test_input_required_result_list_roots', async (_, { mcpReq }) => {
        const roots = mcpReq.inputResponses?.client_roots?.roots;
        if (!Array.isArray(roots)) return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
        return says(`Client exposed ${roots.length} root(s): ${roots.map(root => root.uri)}`);
    });
    for (const name of ['request_state', 'tampered_state'])
        tool(`test_input_required_result_${name}`, async (_, { mcpReq }) => {
            if (mcpReq.requestState() !== undefined && acceptedContent(mcpReq.inputResponses, 'confirm'))
                return says('state-ok: requestState verified and confirmation received');
            const requestState = await sealed.mint({ name, nonce: randomUUID() });
            return inputRequired({ inputRequests: { confirm: form('Please confirm', 'ok', 'boolean') }, requestState });
        });
    tool('test_input_required_result_multiple_inputs', async (_, { mcpReq }) => {
        const { greeting, client_roots } = mcpReq.inputResponses ?? {};
        const name = named(mcpReq.inputResponses);
        if (typeof name === 'string' && greeting && client_roots) return says(`${greeting.content?.text} ${name}`);
        return inputRequired({
            inputRequests: {
                user_name: form('What is your name?', 'name'),
                greeting: prompt('Generate a greeting', 50),
                client_roots: inputRequired.listRoots()
            },
            requestState: await sealed.mint({ nonce: randomUUID() })
        });
    });
    tool('test_input_required_result_multi_round', async (_, { mcpReq }) => {
        const { round = 0, name } = mcpReq.requestState() ?? {};
        const next = async (inputRequests, state) =>
            inputRequired({ inputRequests, requestState: await sealed.mint({ ...state, nonce: randomUUID() }) });
        if (round === 0) return next({ step1: form('Step 1: What is your name?', 'name') }, { round: 1 });
        if (round === 1) {
            const heard = acceptedContent(mcpReq.inputResponses, 'step1')?.name;
            return next({ step2: form('Step 2: What is your favorite color?', 'color') }, { round: 2, name: heard });
        }
        return says(`Multi-round complete: ${name} likes ${acceptedContent(mcpReq.inputResponses, 'step2')?.color}`);
    });
    tool('test_input_required_result_capabilities', async (_, { mcpReq }) => {
        if (mcpReq.inputResponses) return says('fulfilled');
        const declared = mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
        const inputRequests = {
            ...(declared.elicitation && { user_name: form('What is your name?', 'name') }),
            ...(declared.sampling && { greeting: prompt('Generate a short greeting', 50) }),
            ...(declared.roots && { client_roots: inputRequired.listRoots() })
        };
        return Object.keys(inputRequests).length ? inputRequired({ inputRequests }) : says('nothing to ask with');
    });
}

// Schemas written by hand, so that their keywords reach the client as they are.
function schemas(tool) {
    tool(
        'test_x_mcp_header',
        async ({ region }) => says(`region=${region ?? '<none>'}`),
        fromJsonSchema({
            type: 'object',
            properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, level: { type: 'integer' } }
        })
    );
    tool(
        'json_schema_2020_12_tool',
        async args => says(JSON.stringify(args)),
        fromJsonSchema({
            $schema: 'https://json-schema.org/draft/2020-12/schema',
            type: 'object',
            $defs: {
                address: {
                    $anchor: 'addressDef',
                    type: 'object',
                    properties: { street: { type: 'string' }, city: { type: 'string' } }
                }
            },
            properties: {
                name: { type: 'string' },
                address: { $ref: '#/$defs/address' },
                contactMethod: { type: 'string', enum: ['phone', 'email'] },
                phone: { type: 'string' },
                email: { type: 'string' }
            },
            allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
            if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
            then: { required: ['phone'] },
            else: { required: ['email'] },
            additionalProperties: false
        })
    );
}

function resources(server, log) {
    const add = (name, at, mimeType, read) => server.registerResource(name, at, { title: name, description: name, mimeType }, read);
    const fixed = (name, mimeType, body) =>
        add(name, `test://${name}`, mimeType, async uri => ({ contents: [{ uri: uri.href, mimeType, ...body }] }));

    fixed('static-text', 'text/plain', { text: 'This is the content of the static text resource.' });
    fixed('static-binary', 'image/png', { blob: PNG });
    fixed('watched-resource', 'text/plain', { text: 'Watched resource content' });
    const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
    add('template', template, 'application/json', async (uri, { id }) => {
        const body = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
        return { contents: [{ uri: uri.href, mimeType: 'application/json', text: body }] };
    });
    for (const verb of ['subscribe', 'unsubscribe'])
        server.server.setRequestHandler(`resources/${verb}`, async ({ params }) => (await log(`${verb} ${params.uri}`), {}));
}

function prompts(server) {
    const user = content => ({ role: 'user', content });
    const add = (name, run, argsSchema) => server.registerPrompt(name, { title: name, description: name, argsSchema }, run);

    add('test_simple_prompt', async () => ({ messages: [user(text('This is a simple prompt for testing.'))] }));
    add(
        'test_prompt_with_arguments',
        async ({ arg1, arg2 }) => ({ messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] }),
        z.object({ arg1: z.string(), arg2: z.string() })
    );
    add(
        'test_prompt_with_embedded_resource',
        async ({ resourceUri }) => ({
            messages: [
                user(resource(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
                user(text('Please process the embedded resource above.'))
            ]
        }),
        z.object({ resourceUri: z.string() })
    );
    add('test_prompt_with_image', async () => ({ messages: [user(image), user(text('Please analyze the image above.'))] }));
    add('test_input_required_result_prompt', async ({ mcpReq }) => {
        const context = acceptedContent(mcpReq.inputResponses, 'user_context')?.context;
        if (typeof context === 'string') return { messages: [user(text(`Use the following context: ${context}`))] };
        return inputRequired({ inputRequests: { user_context: form('What context should the prompt use?', 'context') } });
    });
}

// Events of one session, replayed in order after the one that a client saw last.
function eventStore() {
    const events = [];
    return {
        async storeEvent(stream, message) {
            events.push({ id: `${stream}/${events.length}`, stream, message });
            return events.at(-1).id;
        },
        async replayEventsAfter(last, { send }) {
            const at = events.findIndex(({ id }) => id === last);
            const { stream } = events[at];
            for (const event of events.slice(at + 1))
                if (event.stream === stream && Object.keys(event.message).length > 0) await send(event.id, event.message);
            return stream;
        }
    };
}

function serveHttp() {
    const modern = createMcpHandler(() =>
        buildServer({ tools: () => modern.notify.toolsChanged(), prompts: () => modern.notify.promptsChanged() })
    );
    const serveModern = toNodeHandler(modern);
    const changed = { tools: server => server.sendToolListChanged(), prompts: server => server.sendPromptListChanged() };
    const isLocal = localhostHostValidation();

    const refuse = (response, status, message) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32000, message }, id: null }));
    };

    async function open() {
        const transport = new NodeStreamableHTTPServerTransport({
            sessionIdGenerator: randomUUID,
            eventStore: eventStore(),
            retryInterval: 500,
            onsessioninitialized: id => void transports.set(id, transport)
        });
        const server = buildServer(changed);
        await server.connect(transport);
        const { onclose } = transport;
        transport.onclose = () => (transports.delete(transport.sessionId), onclose?.());
        return transport;
    }

    async function serve(request, response) {
        if (!isLocal(request, response)) return;
        if (request.url !== '/mcp') return refuse(response, 404, 'no such path');
        const body = request.method === 'POST' ? await json(request).catch(() => undefined) : undefined;
        const { kind } = classifyInboundRequest({
            httpMethod: request.method,
            protocolVersionHeader: request.headers['mcp-protocol-version'],
            mcpMethodHeader: request.headers['mcp-method'],
            body
        });
        if (request.method === 'POST' && kind !== 'legacy') return serveModern(request, response, body);
        const id = request.headers['mcp-session-id'];
        if (id && !transports.has(id)) return refuse(response, 404, 'Session not found');
        if (!id && !isInitializeRequest(body)) return refuse(response, 400, 'Bad Request: Session ID required');
        const transport = id ? transports.get(id) : await open();
        return transport.handleRequest(request, response, body);
    }

    createServer((request, response) => {
        serve(request, response).catch(error => {
            console.error(error);
            if (!response.headersSent) refuse(response, 500, 'Internal server error');
        });
    }).listen(Number(process.env.PORT), '127.0.0.1');
}

if (process.argv[2] === 'http') serveHttp();
else
    serveStdio(() =>
        buildServer({ tools: server => server.sendToolListChanged(), prompts: server => server.sendPromptListChanged() })
    );
