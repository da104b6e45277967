// An MCP server on streams (tcp, ws, or frames with a length) whose moods a test sets, as those of Moody. Of both eras: it answers
// whatever it is asked, but for what its mood says.
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';
import { freePort } from './weir.mjs';

const result = id => ({ jsonrpc: '2.0', id, result: { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, content: [] } });

/* What a client of weir's is, on either side of the wire: text in and out, and bytes where a test means harm. */
function wireOf(socket, write) {
    return { send: message => write(JSON.stringify(message)), bytes: bytes => socket.write(bytes), cut: () => socket.destroy(), socket };
}

const frame = text => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(Buffer.byteLength(text));
    return Buffer.concat([head, Buffer.from(text)]);
};

const kinds = {
    tcp: accept =>
        createServer(socket => {
            const take = accept(wireOf(socket, text => socket.write(`${text}\n`)));
            createInterface({ input: socket }).on('line', take);
        }),
    length: accept =>
        createServer(socket => {
            const take = accept(wireOf(socket, text => socket.write(frame(text))));
            let bytes = Buffer.alloc(0);
            socket.on('data', more => {
                bytes = Buffer.concat([bytes, more]);
                while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE()) {
                    const end = 4 + bytes.readUInt32BE();
                    bytes.subarray(4, end).toString().split('\n').forEach(take); // prettier-ignore
                    bytes = bytes.subarray(end);
                }
            });
        })
};

export class Streamer {
    mood = 'well';
    options = {};
    asked = []; // methods, in their order
    messages = []; // whole
    wires = new Set();

    constructor(kind) {
        this.kind = kind;
    }

    /* Of clients: asked for anything but its health. */
    get calls() {
        return this.asked.filter(method => method === 'tools/call').length;
    }

    /* A port, or the path of a Unix socket. */
    async start(at) {
        at ??= await freePort(); // it is the same when the server comes back
        if (this.kind === 'ws') {
            this.server = new WebSocketServer({ port: at, host: '127.0.0.1', handleProtocols: () => 'mcp' });
            this.server.on('connection', socket => {
                const wire = { send: message => socket.send(JSON.stringify(message)), cut: () => socket.terminate(), socket: socket._socket };
                const take = this.#take(wire);
                socket.on('message', data => take(data.toString())).on('close', () => this.wires.delete(wire)).on('error', () => {});
            });
            await new Promise(resolve => this.server.once('listening', resolve));
        } else {
            this.server = kinds[this.kind](wire => {
                wire.socket.on('error', () => {}).on('close', () => this.wires.delete(wire));
                return this.#take(wire);
            });
            await new Promise(resolve => this.server.listen(typeof at === 'string' ? { path: at } : { port: at, host: '127.0.0.1' }, resolve));
        }
        this.port = this.server.address().port;
        const address = typeof at === 'string' ? `unix:${at}` : `127.0.0.1:${this.port}`;
        this.name = this.kind === 'ws' ? `ws://${address}/mcp` : address;
        return this;
    }

    async stop() {
        this.wires.forEach(wire => wire.cut());
        await new Promise(resolve => this.server.close(resolve));
    }

    again() {
        return this.start(this.port);
    }

    release() {}

    /* Its entry among `servers`, and what its upstream says besides. */
    get entry() {
        return this.kind === 'ws' ? { url: this.name } : { address: this.name };
    }

    get upstream() {
        return this.kind === 'ws' ? { transport: 'ws' } : { transport: 'tcp', framing: this.kind === 'length' ? 'length' : 'ndjson' };
    }

    /* Leaves in the kernel what comes, or takes it. */
    pause(isPaused) {
        this.isPaused = isPaused;
        for (const { socket } of this.wires) isPaused ? socket.pause() : socket.resume();
    }

    #take(wire) {
        this.wires.add(wire);
        if (this.isPaused) setImmediate(() => wire.socket.pause());
        return text => {
            const message = JSON.parse(text);
            this.messages.push(message);
            if (message.method !== undefined) this.asked.push(message.method);
            if (message.id === undefined) return;
            const mood = message.params?.name in this.moods ? message.params.name : this.mood;
            this.moods[mood](wire, message);
        };
    }

    moods = {
        well: (wire, { id }) => wire.send(result(id)),
        hanging: () => {},
        counting: (wire, { id, params }) => {
            for (let progress = 1; progress <= 3; progress++)
                wire.send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: params._meta.progressToken, progress, message: params.arguments.say } });
            wire.send(result(id));
        },
        legacy: (wire, { id, method }) => wire.send(method === 'ping' ? { jsonrpc: '2.0', id, result: {} } : { jsonrpc: '2.0', id, error: { code: -32601, message: 'no' } }),
        twice: (wire, { id }) => (wire.send(result(id)), wire.send(result(id))),
        stranger: (wire, { id }) => (wire.send(result(987654)), wire.send(result('its own')), wire.send(result(id))),
        garbled: (wire, { id }) => (wire.send('no message'), wire.send(result(id))),
        half: wire => (wire.bytes(this.kind === 'length' ? frame('{"jsonrpc":"2.0"}').subarray(0, 9) : '{"jsonrpc":"2.0",'), wire.socket.end()),
        giant: wire => wire.bytes(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b, 0x7d])),
        dying: wire => wire.cut()
    };
}
