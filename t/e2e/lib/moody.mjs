// An MCP server of the modern era over HTTP whose moods a test sets: it answers, fails, hangs, goes away and comes back on the same
// port. It counts the requests that reached it, and those that are there at the same time.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { request, rpc } from './raw.mjs';
import { freePort, startWeir } from './weir.mjs';

const answer = id => JSON.stringify({ jsonrpc: '2.0', id, result: { resultType: 'complete', content: [] } });

export class Moody {
    mood = 'well';
    delay = 0; // milliseconds before an answer
    options = {}; // in weir's configuration, beside its url
    calls = 0; // of clients: asked for anything but its health
    checks = 0; // by weir itself
    asked = []; // methods, in their order
    present = 0;
    most = 0;
    held = [];
    #sockets = new Set();

    async start(port) {
        port ??= await freePort(); // it is the same when the server comes back
        this.server = createServer((asked, reply) => this.#serve(asked, reply));
        this.server.keepAliveTimeout = 600_000;
        this.server.on('connection', socket => {
            this.#sockets.add(socket);
            socket.on('close', () => this.#sockets.delete(socket));
        });
        await new Promise(resolve => this.server.listen(port, '127.0.0.1', resolve));
        this.port = this.server.address().port;
        this.name = `127.0.0.1:${this.port}`;
        this.url = `http://${this.name}/mcp`;
        return this;
    }

    /* Nobody listens any more; what was connected is cut. */
    async stop() {
        const closed = new Promise(resolve => this.server.close(resolve));
        this.#sockets.forEach(socket => socket.destroy());
        await closed;
    }

    /* Cuts what is connected, as a server does with connections that nobody uses. */
    hangUp() {
        this.#sockets.forEach(socket => socket.destroy());
    }

    again() {
        return this.start(this.port);
    }

    /* Lets go of those who wait in the mood `held`. */
    release() {
        this.held.splice(0).forEach(go => go());
    }

    async #serve(asked, reply) {
        const { id, method, params } = JSON.parse(await text(asked));
        this.asked.push(method);
        if (method === 'server/discover' || method === 'ping') this.checks += 1;
        else this.calls += 1;
        this.most = Math.max(this.most, (this.present += 1));
        reply.on('close', () => (this.present -= 1));
        const say = (status, type, body) => reply.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
        if (this.delay > 0) await new Promise(resolve => setTimeout(resolve, this.delay));
        const mood = params?.name in this.moods ? params.name : this.mood;
        this.moods[mood](say, reply, id, method);
    }

    moods = {
        well: (say, reply, id) => say(200, 'application/json', answer(id)),
        held: (say, reply, id) => this.held.push(() => say(200, 'application/json', answer(id))),
        failing: say => say(500, 'text/plain', 'no'),
        legacy: (say, reply, id, method) => say(method === 'ping' ? 200 : 400, 'application/json', method === 'ping' ? answer(id) : '{}'),
        refusing: (say, reply, id) => say(200, 'application/json', JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32603, message: 'no' } })),
        alien: say => say(200, 'text/html', '<html>Please log in</html>'),
        garbled: (say, reply) => reply.socket.end('I am no HTTP\r\n\r\n'),
        dying: (say, reply) => reply.socket.destroy(),
        hanging: () => {},
        streaming: (say, reply, id) => reply.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${answer(id)}\n\n`)
    };
}

/* A weir with one upstream `team` of these servers; `top` replaces parts of the configuration. */
export function startTeam(servers, { chain, workers = 1, upstream = {}, upstreams = {}, modules = [] }) {
    const team = servers.map(({ url, entry = { url }, options }) => ({ ...entry, ...options }));
    const all = { team: { transport: 'http', ...servers[0]?.upstream, servers: team, chain, ...upstream }, ...upstreams };
    const routes = Object.keys(all).map(name => `{ path: /${name}, upstream: ${name} }`);
    return startWeir(`workers: ${workers}
log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
modules: [${['http', 'stdio', 'tcp', 'ws', 'pool', 'breaker', ...modules]}]
listeners:
  edge: { transport: http, listen: "127.0.0.1:0", routes: [${routes}] }
upstreams: ${JSON.stringify(all)}
`);
}

const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};

/* The body and the headers of a modern call. */
export const modern = name => ({
    headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name },
    body: rpc('tools/call', { name, arguments: {}, _meta: meta }, 1)
});

/* One call of a modern client: { status, reason, headers, result }. A tool's name may be a mood. */
export async function call(weir, { name = 'any', path = '/team', headers = {} } = {}) {
    const { headers: own, body } = modern(name);
    const reply = await request(weir.url('edge', path), 'POST', { ...own, ...headers }, body);
    let message = {};
    try {
        message = JSON.parse(reply.text);
    } catch {
        /* an error page */
    }
    return { ...reply, reason: message.error?.data?.reason, error: message.error, result: message.result };
}

/* What a module of the upstream's chain says of itself in /status. */
export async function shown(weir, module, upstream = 'team') {
    const { upstreams } = await weir.status();
    return upstreams[upstream].chain.find(one => one.module === module);
}
