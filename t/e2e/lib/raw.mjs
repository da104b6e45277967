// A client that hides nothing: one TCP connection, requests as bytes, replies as heads, bodies and server-sent events.
import assert from 'node:assert/strict';
import net from 'node:net';

export const PROTOCOL = '2025-11-25';

const BOTH = 'application/json, text/event-stream';

/* Server-sent events cut out of text as it grows. */
export class Events {
    #rest = '';
    push(text) {
        this.#rest += text.replaceAll('\r\n', '\n');
        const blocks = this.#rest.split('\n\n');
        this.#rest = blocks.pop();
        return blocks.map(block => {
            const event = { data: '' };
            for (const line of block.split('\n')) {
                const [, field, value] = line.match(/^([^:]*):? ?(.*)$/);
                if (field === 'data') event.data += (event.data && '\n') + value;
                else if (field) event[field] = value;
            }
            return event;
        });
    }
}

/* One end of a connection, read in the pieces that HTTP is made of. */
export class Wire {
    #socket;
    #arrived = []; // joined when they are looked at: a large body comes in many pieces
    #unread = 0;
    #wake = () => {};
    #closed = false;
    #why; // it broke: the error's code
    #events = new Events();
    #ready = [];
    #framing;

    constructor(socket) {
        this.#socket = socket;
        this.#socket.on('data', bytes => {
            this.#arrived.push(bytes);
            this.#unread += bytes.length;
            this.#wake();
        });
        const end = error => {
            this.#why ??= error?.code;
            this.#closed = true;
            this.#wake();
        };
        this.#socket.on('close', end).on('end', end).on('error', end);
    }

    /* The port on this side. */
    get port() {
        return this.#socket.localPort;
    }

    get socket() {
        return this.#socket;
    }

    write(bytes) {
        return this.#socket.write(bytes);
    }

    /* Ends the connection the hard way: the other side reads a reset. */
    cut() {
        this.#socket.resetAndDestroy();
    }

    close() {
        this.#socket.destroy();
    }

    /* Leaves what comes in the kernel, or takes it again. */
    pause(isPaused) {
        if (isPaused) this.#socket.pause();
        else this.#socket.resume();
    }

    get #bytes() {
        if (this.#arrived.length !== 1) this.#arrived = [Buffer.concat(this.#arrived)];
        return this.#arrived[0];
    }

    async #more(what) {
        if (this.#closed) throw new Error(`connection closed while reading ${what}; unread: ${JSON.stringify(this.#bytes.toString().slice(0, 200))} ${this.#why ?? ''}`);
        await new Promise(resolve => (this.#wake = resolve));
    }

    async #line(what) {
        for (;;) {
            const end = this.#bytes.indexOf('\r\n');
            if (end >= 0) return this.#take(end + 2).toString('latin1').slice(0, -2);
            await this.#more(what);
        }
    }

    #take(count) {
        const bytes = this.#bytes;
        this.#arrived = [bytes.subarray(count)];
        this.#unread -= count;
        return bytes.subarray(0, count);
    }

    async #exactly(count, what) {
        while (this.#unread < count) await this.#more(what);
        return this.#take(count);
    }

    /* The first line of a head, and its fields: `headers` by lower-case name, `fields` as they came. */
    async lines(what) {
        const first = await this.#line(what);
        const headers = {};
        const fields = [];
        for (let line; (line = await this.#line('header')) !== ''; ) {
            const [, name, value] = line.match(/^([^:]+):\s*(.*?)\s*$/);
            fields.push([name, value]);
            headers[name.toLowerCase()] = name.toLowerCase() in headers ? `${headers[name.toLowerCase()]}, ${value}` : value;
        }
        return { first, headers, fields };
    }

    /* How the body that comes now ends. */
    frame(framing) {
        this.#framing = framing;
    }

    /* The next piece of the body, or null at its end. */
    async piece() {
        const way = this.#framing;
        if (way.kind === 'none') return null;
        if (way.kind === 'length') {
            if (way.left === 0) return null;
            const bytes = await this.#exactly(way.left, 'body');
            way.left = 0;
            return bytes;
        }
        if (way.kind === 'close') {
            while (this.#unread === 0) {
                if (this.#closed) return null;
                await this.#more('body');
            }
            return this.#take(this.#unread);
        }
        const size = parseInt(await this.#line('chunk size'), 16);
        const bytes = size > 0 ? await this.#exactly(size, 'chunk') : null;
        while (size === 0 && (await this.#line('trailer')) !== '');
        if (size > 0) assert.equal((await this.#exactly(2, 'end of chunk')).toString(), '\r\n');
        if (size === 0) this.#framing = { kind: 'none' };
        return bytes;
    }

    async bytes() {
        const pieces = [];
        for (let piece; (piece = await this.piece()) !== null; ) pieces.push(piece);
        return Buffer.concat(pieces);
    }

    async body() {
        return (await this.bytes()).toString();
    }

    /* The next server-sent event, or null at the end of the stream. */
    async event() {
        while (this.#ready.length === 0) {
            const piece = await this.piece();
            if (piece === null) return null;
            this.#ready.push(...this.#events.push(piece.toString()));
        }
        return this.#ready.shift();
    }

    /* Waits until the other side has closed; what came before that and was not read. */
    async rest() {
        while (!this.#closed) await this.#more('the end');
        return this.#bytes.toString();
    }
}

/* A client's connection. `send(method, headers, body)` writes a request; `head()`, `event()` and `body()` read what answers it. */
export class Connection extends Wire {
    constructor(url, open = net.connect) {
        const { port, hostname, host, pathname, search } = new URL(url);
        super(open({ port, host: hostname, noDelay: true }));
        Object.assign(this, { url: new URL(url), host, target: pathname + search });
    }

    send(method, headers = {}, body) {
        const all = { host: this.host, accept: BOTH, ...headers };
        if (body !== undefined) {
            all['content-type'] ??= 'application/json';
            all['content-length'] ??= Buffer.byteLength(body);
        }
        const lines = Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`);
        const head = Buffer.from(`${method} ${this.target} HTTP/1.1\r\n${lines.join('')}\r\n`);
        this.write(Buffer.concat([head, Buffer.from(body ?? '')]));
        return this;
    }

    async head() {
        const { first, headers, fields } = await this.lines('status line');
        const [, status, reason] = first.match(/^HTTP\/1\.1 (\d{3}) ?(.*)$/) ?? assert.fail(`a status line, not ${first}`);
        this.frame(framing(Number(status), headers));
        return { status: Number(status), reason, headers, fields };
    }

    /* The text of the reply whose head has been read: a JSON body, or the event that carries it. */
    async reply(head) {
        if (!head.headers['content-type']?.startsWith('text/event-stream')) return this.body();
        for (let event; (event = await this.event()) !== null; )
            if (/"(result|error)"\s*:/.test(event.data)) return event.data;
        throw new Error('the stream ended without a reply');
    }
}

function framing(status, headers) {
    if (status < 200 || status === 204 || status === 304) return { kind: 'none' };
    if (headers['transfer-encoding']?.toLowerCase() === 'chunked') return { kind: 'chunked' };
    if ('content-length' in headers) return { kind: 'length', left: Number(headers['content-length']) };
    return { kind: 'close' };
}

/* One request on a connection of its own: { status, headers, text }. */
export async function request(url, method, headers, body) {
    const connection = new Connection(url).send(method, { connection: 'close', ...headers }, body);
    try {
        const head = await connection.head();
        return { ...head, text: await (body === undefined ? connection.body() : connection.reply(head)) };
    } finally {
        connection.close();
    }
}

export const rpc = (method, params, id) => JSON.stringify({ jsonrpc: '2.0', ...(id !== undefined && { id }), method, ...(params && { params }) });

/* A legacy session opened by hand. `headers` go with every later request of it. */
export async function openSession(url, { capabilities = {}, name = 'raw' } = {}) {
    const hello = rpc('initialize', { protocolVersion: PROTOCOL, capabilities, clientInfo: { name, version: '1' } }, 'hello');
    const reply = await request(url, 'POST', {}, hello);
    assert.equal(reply.status, 200, reply.text);
    const id = reply.headers['mcp-session-id'];
    const headers = { 'mcp-protocol-version': JSON.parse(reply.text).result.protocolVersion, ...(id && { 'mcp-session-id': id }) };
    const session = {
        id,
        headers,
        result: JSON.parse(reply.text).result,
        post: (body, more) => request(url, 'POST', { ...headers, ...more }, body),
        call: async (method, params, id = 1) => JSON.parse((await session.post(rpc(method, params, id))).text),
        end: () => request(url, 'DELETE', headers)
    };
    const ready = await session.post(rpc('notifications/initialized'));
    assert.equal(ready.status, 202, ready.text);
    return session;
}
