// A terminal of so many rows and columns, and what a person would see on it. The pseudo-terminal is Python's; the screen is no more than
// what weir draws with: the cursor home, the rest of a line or of the screen erased, another screen and back, the cursor hidden and shown.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { until } from './process.mjs';

const pty = `
import fcntl, os, pty, select, signal, struct, sys, termios
rows, columns, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
pid, fd = pty.fork()
if pid == 0:
    sys.stdin.readline()
    os.execv(command[0], command)
def size(rows, columns): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
size(rows, columns)
os.write(fd, b'go\\n')
waiting = [0, fd]
while fd in waiting:
    ready, _, _ = select.select(waiting, [], [])
    if fd in ready:
        try: said = os.read(fd, 65536)
        except OSError: said = b''
        if not said: break
        os.write(1, said)
    if 0 in ready:
        line = sys.stdin.buffer.readline().split()
        if not line: waiting.remove(0)
        elif line[0] == b'size': size(int(line[1]), int(line[2]))
        elif line[0] == b'key': os.write(fd, bytes([int(line[1])]))
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
`;

class Screen {
    lines = [];
    row = 0;
    isOther = false;
    hasCursor = true;
    column = 0;

    write(text) {
        const pieces = text.match(/\x1b\[\??[0-9]*[A-Za-z]|\r|\n|[^\x1b\r\n]+/g) ?? []; // eslint-disable-line no-control-regex
        for (const piece of pieces) this.#one(piece);
    }

    #one(piece) {
        const line = this.lines[this.row] ?? '';
        const moves = {
            '\x1b[H': () => (this.row = this.column = 0),
            '\x1b[K': () => (this.lines[this.row] = line.slice(0, this.column)),
            '\x1b[J': () => ((this.lines[this.row] = line.slice(0, this.column)), this.lines.splice(this.row + 1)),
            '\x1b[?1049h': () => ((this.isOther = true), (this.lines = []), (this.row = this.column = 0)),
            '\x1b[?1049l': () => ((this.isOther = false), (this.lines = []), (this.row = this.column = 0)),
            '\x1b[?25l': () => (this.hasCursor = false),
            '\x1b[?25h': () => (this.hasCursor = true),
            '\r': () => (this.column = 0),
            '\n': () => (this.row += 1)
        };
        if (piece in moves) return moves[piece]();
        assert.ok(!piece.startsWith('\x1b'), `the screen knows ${JSON.stringify(piece)}`);
        this.lines[this.row] = line.slice(0, this.column).padEnd(this.column) + piece + line.slice(this.column + piece.length);
        this.column += piece.length;
    }
}

/* Runs a command on a terminal. `screen` is what is on it now; `said` all that was ever written. */
export function startOnTerminal(command, { rows = 24, columns = 120 } = {}) {
    const child = spawn('/usr/bin/python3', ['-c', pty, rows, columns, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
    const task = { said: '', screen: new Screen(), draws: 0 };
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', text => {
        task.said += text;
        const whole = (rest + text).match(/^[^]*(?:\n|\x1b\[[?0-9]*[A-Za-z])/)?.[0] ?? ''; // eslint-disable-line no-control-regex
        rest = (rest + text).slice(whole.length);
        task.screen.write(whole);
        task.draws = task.said.split('\x1b[J').length - 1;
    });
    task.ended = new Promise(resolve => child.on('close', code => resolve(code)));
    task.resize = (toRows, toColumns) => child.stdin.write(`size ${toRows} ${toColumns}\n`);
    task.interrupt = () => child.stdin.write('key 3\n');
    task.lines = () => task.screen.lines.filter(line => line !== '');
    task.shows = (condition, what) => until(() => condition(task.lines()), () => `${what}; the screen has\n${task.lines().join('\n')}`);
    return task;
}
