// MCP transports over streams of messages, for the official SDK 1.x on either side: what the SDK has none of its own for.
import { spawn } from 'node:child_process';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { createInterface } from 'node:readline';
import WebSocket, { WebSocketServer } from 'ws';

/* The SDK's Transport over a wire: { send(text), close(), onText, onEnd }. */
export class WireTransport {
    constructor(wire) {
        this.wire = wire;
        // The SDK looks at notifications a tick later than at answers: each message gets a turn of its own.
        wire.onText = text => setImmediate(() => this.onmessage?.(JSON.parse(text)));
        wire.onEnd = () => this.onclose?.();
    }
    async start() {
        await this.wire.opened;
    }
    async send(message) {
        this.wire.send(JSON.stringify(message));
    }
    async close() {
        this.wire.close();
    }
}

function overSocket(socket) {
    const wire = { send: text => socket.write(`${text}\n`), close: () => socket.end() };
    createInterface({ input: socket }).on('line', line => wire.onText?.(line));
    socket.on('error', () => {});
    socket.on('close', () => wire.onEnd?.());
    return wire;
}

/* One message a line over the pipes of a command. */
export const stdio = {
    start(command, args, options) {
        const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'], ...options });
        const wire = { send: text => child.stdin.write(`${text}\n`), close: () => child.stdin.end() };
        createInterface({ input: child.stdout }).on('line', line => wire.onText?.(line));
        child.stdin.on('error', () => {});
        wire.ended = new Promise(resolve => child.on('close', (code, signal) => resolve({ code, signal })));
        wire.ended.then(() => wire.onEnd?.());
        return wire;
    }
};

/* One message a line over TCP. */
export const tcp = {
    connect(port) {
        const socket = connectTcp(port, '127.0.0.1');
        const wire = overSocket(socket);
        wire.opened = new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
        return wire;
    },
    listen(port, accept) {
        createTcpServer(socket => accept(overSocket(socket))).listen(port, '127.0.0.1');
    }
};

function overWebSocket(socket) {
    const wire = { send: text => socket.send(text), close: () => socket.close() };
    socket.on('message', data => wire.onText?.(data.toString()));
    socket.on('error', () => {});
    socket.on('close', () => wire.onEnd?.());
    return wire;
}

/* One message a text message; messages are compressed where both ends agree. */
export const ws = {
    connect(port, path = '/mcp') {
        const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, 'mcp', { perMessageDeflate: true });
        const wire = overWebSocket(socket);
        wire.opened = new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
        return wire;
    },
    listen(port, accept) {
        const options = { port, host: '127.0.0.1', perMessageDeflate: true, handleProtocols: () => 'mcp' };
        new WebSocketServer(options).on('connection', socket => accept(overWebSocket(socket)));
    }
};
