// Servers of the tests themselves: one that answers everything with what it saw, and one that a scene plays by hand.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { Connection, Wire } from './raw.mjs';
import { startWeir } from './weir.mjs';

const listening = (server, at = { port: 0, host: '127.0.0.1' }) =>
    new Promise((resolve, reject) => server.once('error', reject).listen(at, () => resolve(server.address().port)));

/* The text of a message's id, or null: the fakes hand it back as it came. */
const idOf = body => body.match(/"id"\s*:\s*("(?:[^"\\]|\\.)*"|[^,}\s]+)/)?.[1] ?? 'null';

/* A JSON-RPC answer to the request in `body`. */
export const answerTo = (body, result = {}) => `{"jsonrpc":"2.0","id":${idOf(body)},"result":${JSON.stringify(result)}}`;

/* Answers each request with { method, url, headers, rawHeaders, body } as its result; `seen` has them all. */
export async function startEcho(secrets) {
    const seen = [];
    const serve = async (request, response) => {
        const { method, url, headers, rawHeaders, socket } = request;
        const body = Buffer.concat(await request.toArray()).toString();
        const sni = socket.servername;
        seen.push({ method, url, headers, rawHeaders, body, sni });
        const answer = answerTo(body, seen.at(-1));
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) }).end(answer);
    };
    const limits = { maxHeaderSize: 1 << 17, keepAliveTimeout: 0 };
    const server = secrets ? https.createServer({ ...secrets, ...limits }, serve) : http.createServer(limits, serve);
    const port = await listening(server);
    const stop = () => (server.closeAllConnections(), new Promise(resolve => server.close(resolve)));
    return { port, seen, server, stop };
}

/* A connection that was made to a server. */
export class Peer extends Wire {
    async request() {
        const { first, headers, fields } = await this.lines('request line');
        const [, method, target] = first.match(/^([A-Z]+) (\S+) HTTP\/1\.1$/) ?? assert.fail(`a request line, not ${first}`);
        assert.ok(!('transfer-encoding' in headers), 'the length of a request is known when it is sent');
        this.frame({ kind: 'length', left: Number(headers['content-length'] ?? 0) });
        return { method, target, headers, fields, body: await this.body() };
    }

    /* A whole reply, its length known. */
    reply(body, head = '200 OK', fields = 'Content-Type: application/json\r\n') {
        this.write(`HTTP/1.1 ${head}\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    }

    end() {
        this.socket.end();
    }
}

/* A server that does nothing by itself: `next()` is the next connection made to it, as a Peer. */
export async function startFake(server = net.createServer(), at) {
    const arrived = [];
    const waiting = [];
    const sockets = new Set();
    server.on(server instanceof tls.Server ? 'secureConnection' : 'connection', socket => {
        const peer = new Peer(socket);
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
        if (waiting.length) waiting.shift()(peer);
        else arrived.push(peer);
    });
    const port = await listening(server, at);
    return {
        port,
        next: async () => arrived.shift() ?? new Promise(resolve => waiting.push(resolve)),
        isUntouched: () => arrived.length === 0,
        stop: () => (sockets.forEach(socket => socket.destroy()), new Promise(resolve => server.close(resolve)))
    };
}

/* A pool that does nothing of its own accord: each connection to a server is one that a request asked for. */
export const quiet = { min: 0, health_check: 0, grow_above: 1, shrink_below: 0 };

/* Scenes with a fake server and an upstream each, all behind one weir with one worker. `scene(name, play, options)`: `play` gets
 * { weir, server, url, client() }. Of the options, `upstream`, `server` and `pool` are added to the configuration of its upstream,
 * `chain` to its chain; `listener` makes one of its own (else they share one, to which `common` is added); `fake()` makes the server, `at` says where it listens, `url(port)` how it is reached. */
export function scenesWithServers(configuration = {}, common = {}) {
    const scenes = [];
    const world = {};
    before(async () => {
        await new Promise(setImmediate); // the file has to say all of its scenes first
        for (const each of scenes) each.server = await startFake(each.options.fake?.(), each.options.at);
        const listener = { transport: 'http', listen: '127.0.0.1:0' };
        const upstreams = {};
        const listeners = {};
        const routes = [];
        scenes.forEach(({ server, options }, n) => {
            const url = (options.url ?? (port => `http://127.0.0.1:${port}/server`))(server.port);
            const pool = { ...quiet, max: 8, ...options.pool };
            upstreams[`s${n}`] = {
                transport: 'http',
                reply_timeout: '20s',
                ...options.upstream,
                servers: [{ url, ...options.server }],
                chain: [{ pool }, ...(options.chain ?? [])]
            };
            const route = { path: options.path ?? '/mcp', upstream: `s${n}` };
            if (options.listener) listeners[`l${n}`] = { ...listener, ...options.listener, routes: [route] };
            else routes.push({ ...route, path: `/s${n}` });
        });
        if (routes.length) listeners.all = { ...listener, ...common, routes };
        const all = {
            workers: 1,
            log: { level: 'info', file: 'stderr' },
            modules: ['http', 'pool'],
            ...configuration,
            listeners,
            upstreams
        };
        world.weir = await startWeir(JSON.stringify(all));
    });
    after(async () => {
        for (const { server } of scenes) await server?.stop();
        await world.weir?.stop();
    });
    const scene = (name, play, options = {}) => {
        const n = scenes.push({ options }) - 1;
        test(name, () => {
            const { weir } = world;
            const url = options.listener ? weir.url(`l${n}`, '/mcp') : weir.url('all', `/s${n}`);
            return play({ weir, server: scenes[n].server, url, client: (...more) => new Connection(url, ...more) });
        });
    };
    return { scene, world };
}
