// framing mux by hand: frames, records and words (modules/tcp/mux.h), for a peer that says what no weir would say.
import assert from 'node:assert/strict';
import net from 'node:net';
import { freePort } from './weir.mjs';

export const word = { hello: 0x01, ping: 0x02, pong: 0x03, leave: 0x04, open: 0x10, credit: 0x11, cancel: 0x12, head: 0x20, data: 0x21, end: 0x22, fail: 0x23 };
const MARK = 0x01;

/* Seven bits a byte, the lowest first. */
export function number(value) {
    const bytes = [];
    for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
    return Buffer.from([...bytes, value]);
}
export const text = value => Buffer.concat([number(Buffer.byteLength(value)), Buffer.from(value)]);
export const record = (channel, ...parts) => {
    const body = Buffer.concat(parts.map(part => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))));
    return Buffer.concat([number(channel), number(body.length), body]);
};
export const payload = (...records) => Buffer.concat([Buffer.from([MARK]), ...records]);
export const frame = bytes => Buffer.concat([Buffer.from([bytes.length >>> 24, bytes.length >>> 16, bytes.length >>> 8, bytes.length]), bytes]);

export const hello = ({ version = 1, channels = 0, max = 1 << 22, window = 1 << 17 } = {}) =>
    record(0, word.hello, number(version), number(channels), number(max), number(window));
/* A modern request of a client without a head. */
export const open = (channel, message, target = '/a', flags = 0x08) =>
    record(channel, word.open, flags, text(''), text('127.0.0.9'), text(target), text(''), text(''), text(''), text(''), message);

/* What a record of a reply's head holds; `length` -1: not known. */
export const head = (status, length, ...fields) => [word.head, number(status), number(length + 1), fields.length, ...fields.flatMap(([name, value]) => [0, text(name), text(value)])];

export const readNumber = (bytes, at) => {
    let value = 0;
    for (let shift = 1; ; shift *= 0x80) {
        value += (bytes[at] & 0x7f) * shift;
        if ((bytes[at++] & 0x80) === 0) return [value, at];
    }
};
export const readText = (bytes, at) => {
    const [n, from] = readNumber(bytes, at);
    return [bytes.subarray(from, from + n).toString(), from + n];
};

/* One end of a link. `records` are those that came: { channel, word, body }; `seen(test)` waits for one. */
export class Link {
    records = [];
    #bytes = Buffer.alloc(0);
    #wake = () => {};
    isClosed = false;

    constructor(socket) {
        this.socket = socket;
        socket.on('data', bytes => this.#take(bytes));
        const closed = () => ((this.isClosed = true), this.#wake());
        socket.on('close', closed).on('error', closed);
    }

    #take(bytes) {
        this.#bytes = Buffer.concat([this.#bytes, bytes]);
        while (this.#bytes.length >= 4 && this.#bytes.length >= 4 + this.#bytes.readUInt32BE(0)) {
            const n = this.#bytes.readUInt32BE(0);
            this.#apart(this.#bytes.subarray(4, 4 + n));
            this.#bytes = this.#bytes.subarray(4 + n);
        }
        this.#wake();
    }

    #apart(bytes) {
        assert.equal(bytes[0], MARK, 'a payload of mux');
        for (let at = 1; at < bytes.length; ) {
            let channel, size;
            [channel, at] = readNumber(bytes, at);
            [size, at] = readNumber(bytes, at);
            this.records.push({ channel, word: bytes[at], body: bytes.subarray(at + 1, at + size) });
            at += size;
        }
    }

    say(...records) {
        this.socket.write(frame(payload(...records)));
        return this;
    }

    async seen(test) {
        for (let found; ; ) {
            if ((found = this.records.find(test))) return found;
            assert.ok(!this.isClosed, `the link is closed; there came ${JSON.stringify(this.records)}`);
            await new Promise(resolve => (this.#wake = resolve));
        }
    }

    async closed() {
        while (!this.isClosed) await new Promise(resolve => (this.#wake = resolve));
    }
}

export const connectLink = port => new Link(net.connect({ port, host: '127.0.0.1', noDelay: true }));

const CHECK = 0x40; // among an OPEN's flags

/* An inner weir whose moods a test sets, as those of Moody: it answers, or does not, each channel that is opened. */
export class Inner {
    mood = 'well';
    calls = 0; // of clients
    checks = 0; // of the edge's own
    links = new Set();

    async start(port) {
        port ??= await freePort(); // it is the same when the weir comes back
        this.server = net.createServer(socket => this.#meet(socket)).listen(port, '127.0.0.1');
        await new Promise(resolve => this.server.once('listening', resolve));
        this.port = this.server.address().port;
        this.name = `127.0.0.1:${this.port}`;
        return this;
    }

    #meet(socket) {
        const link = new Link(socket).say(hello({ channels: 64 }));
        let done = 0;
        this.links.add(link);
        socket.on('close', () => this.links.delete(link));
        socket.on('data', () => {
            for (; done < link.records.length; done++) if (link.records[done].word === word.open) this.#serve(link, link.records[done]);
        });
    }

    #serve(link, { channel, body }) {
        const isCheck = (body[0] & CHECK) !== 0;
        this[isCheck ? 'checks' : 'calls'] += 1;
        if (this.mood === 'hanging') return;
        const answer = isCheck ? '' : '{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}';
        link.say(record(channel, ...head(200, answer.length, ['Content-Type', 'application/json']), answer));
    }

    async stop() {
        const closed = new Promise(resolve => this.server.close(resolve));
        this.links.forEach(({ socket }) => socket.destroy());
        await closed;
    }

    again() {
        return this.start(this.port);
    }

    release() {}

    get entry() {
        return { address: this.name };
    }

    upstream = { transport: 'tcp', framing: 'mux' };
}
