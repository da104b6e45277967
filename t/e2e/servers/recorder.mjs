// A small MCP server of both eras that writes down all it is told: `recorder.mjs FILE stdio|http`.
//
// Each line of FILE is { pid, message } for what arrived, or { pid, hangup } for a request (its `_meta.token`) whose HTTP
// connection went before it was answered. Ids are handed back as the very text that came. Tools:
//
//   echo    answers its `message`
//   pid     answers this process's id
//   say     sends its `text` as a log message that belongs to no request, then answers
//   wait    never answers
//   held    reports progress 1, then waits for `release` (same session), reports progress 2 and answers
//   exit    ends this process at once with its `status`
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

const [, , file, transport] = process.argv;
const record = entry => appendFileSync(file, `${JSON.stringify({ pid: process.pid, ...entry })}\n`);

/* A message and the text of its id. */
function parse(line) {
    const sources = new Map();
    const message = JSON.parse(line, function (key, value, { source }) {
        if (key === 'id') sources.set(this, source);
        return value;
    });
    return { message, id: sources.get(message) };
}

const tools = ['echo', 'pid', 'say', 'wait', 'held', 'release', 'exit'].map(name => ({ name, inputSchema: { type: 'object' } }));
const about = { capabilities: { tools: {}, logging: {} }, serverInfo: { name: 'recorder', version: '1.0.0' } };
const cached = { ttlMs: 0, cacheScope: 'private' };
const results = {
    initialize: ({ protocolVersion }) => ({ ...about, protocolVersion }),
    'server/discover': () => ({
        ...cached,
        supportedVersions: ['2026-07-28'],
        capabilities: about.capabilities,
        _meta: { 'io.modelcontextprotocol/serverInfo': about.serverInfo }
    }),
    'tools/list': () => ({ ...cached, tools }),
    ping: () => ({})
};

/* Answers one request of a session: `answer(result)`, `notify(notification)` on the request's stream, `say(notification)`
 * outside of any. `held` is what the session holds back. */
function serve({ method, params = {} }, { answer, fail, notify, say, held }) {
    const words = said => answer({ content: [{ type: 'text', text: String(said) }] });
    const progress = n =>
        notify({ method: 'notifications/progress', params: { progressToken: params._meta?.progressToken, progress: n, total: 2 } });
    if (method in results) return answer(results[method](params));
    if (method !== 'tools/call') return fail(-32601, `no method ${method}`);
    const { name, arguments: args = {} } = params;
    if (name === 'echo') return words(args.message);
    if (name === 'pid') return words(process.pid);
    if (name === 'exit') return process.exit(args.status);
    if (name === 'wait') return;
    if (name === 'say') {
        say({ method: 'notifications/message', params: { level: 'info', data: args.text } });
        return words('said');
    }
    if (name === 'held') {
        progress(1);
        held.push(() => (progress(2), words('released')));
        return;
    }
    if (name === 'release') {
        held.splice(0).forEach(go => go());
        return words('done');
    }
    return fail(-32602, `no tool ${name}`);
}

const result = (id, value) => `{"jsonrpc":"2.0","id":${id},"result":${JSON.stringify({ resultType: 'complete', ...value })}}`;
const failure = (id, code, message) => `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code, message })}}`;
const notification = body => JSON.stringify({ jsonrpc: '2.0', ...body });

function overStdio() {
    const held = [];
    const write = line => process.stdout.write(`${line}\n`);
    const notify = body => write(notification(body));
    createInterface({ input: process.stdin }).on('line', line => {
        const { message, id } = parse(line);
        record({ message });
        if (message.method && id !== undefined)
            serve(message, {
                answer: value => write(result(id, value)),
                fail: (code, why) => write(failure(id, code, why)),
                notify,
                say: notify,
                held
            });
    });
}

/* One event stream of an HTTP session: what was sent is kept, so that a client can come back for it. */
class Stream {
    events = [];
    done = false;
    constructor(name) {
        this.name = name;
    }
    attach(response, after = 0) {
        response.writeHead(200, { 'content-type': 'text/event-stream', ...this.headers });
        response.flushHeaders();
        this.response = response;
        this.events.slice(after).forEach(event => response.write(event));
        if (this.done) response.end();
    }
    send(data) {
        this.events.push(`id: ${this.name}-${this.events.length + 1}\ndata: ${data}\n\n`);
        this.response?.write(this.events.at(-1));
    }
    end() {
        this.done = true;
        this.response?.end();
    }
}

function overHttp() {
    const sessions = new Map();
    const refuse = (response, status) => response.writeHead(status).end();

    function get(session, request, response) {
        const [name, number] = (request.headers['last-event-id'] ?? 'unasked-0').split('-');
        const stream = session.streams.get(name);
        return stream ? stream.attach(response, Number(number)) : refuse(response, 400);
    }

    async function post(session, request, response) {
        const { message, id } = parse(await text(request));
        record({ message });
        if (!message.method || id === undefined) return response.writeHead(202).end();
        response.on('close', () => response.writableFinished || record({ hangup: message.params?._meta?.token }));
        if (message.method === 'initialize') {
            const own = String(sessions.size + 1);
            session = { id: own, held: [], streams: new Map([['unasked', new Stream('unasked')]]) };
            sessions.set(own, session);
            response.setHeader('mcp-session-id', own);
        }
        const stream = new Stream(String(session?.streams.size));
        session?.streams.set(stream.name, stream);
        const finish = body => {
            if (!stream.response) return response.writeHead(200, { 'content-type': 'application/json' }).end(body);
            stream.send(body);
            stream.end();
        };
        serve(message, {
            answer: value => finish(result(id, value)),
            fail: (code, why) => finish(failure(id, code, why)),
            notify: body => {
                if (!stream.response) stream.attach(response);
                stream.send(notification(body));
            },
            say: body => session.streams.get('unasked').send(notification(body)),
            held: session?.held
        });
    }

    createServer((request, response) => {
        const id = request.headers['mcp-session-id'];
        const session = sessions.get(id);
        if (id !== undefined && !session) return refuse(response, 404);
        if (request.method === 'POST') return post(session, request, response);
        if (!session) return refuse(response, 400);
        if (request.method === 'GET') return get(session, request, response);
        if (request.method !== 'DELETE') return refuse(response, 405);
        sessions.delete(id);
        return response.writeHead(204).end();
    }).listen(Number(process.env.PORT), '127.0.0.1');
}

if (transport === 'http') overHttp();
else overStdio();
