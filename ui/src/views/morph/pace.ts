// How many particles, and at which resolution: as many as this machine shows smoothly. More are tried while there is time
// to spare; what was too much once is not tried again.

export const COUNTS = [16_384, 65_536, 131_072, 262_144] as const;

interface Level {
  count: number;
  resolution: number; // pixels of the canvas per pixel of the screen's, at most
}

const LEVELS: readonly Level[] = [
  { count: 16_384, resolution: 0.5 },
  { count: 16_384, resolution: 0.75 },
  { count: 65_536, resolution: 0.75 },
  { count: 65_536, resolution: 1 },
  { count: 65_536, resolution: 2 },
  { count: 131_072, resolution: 2 },
  { count: 262_144, resolution: 2 },
];
const WINDOW = 24;
const SLOW = 34; // ms a frame
const FAST = 18;

export class Pace {
  private at = 3;
  private most = LEVELS.length - 1;
  private times: number[] = [];
  // Median time of a frame lately, ms.
  typical = 0;

  get level(): Level {
    return LEVELS[this.at]!;
  }

  // Told of the time between two frames; true where the level is another one now.
  took(ms: number): boolean {
    // A hidden page and a page that was asleep say nothing of the machine.
    if (ms > 1500) return false;
    this.times.push(ms);
    if (this.times.length < WINDOW) return false;
    this.typical = [...this.times].sort((a, b) => a - b)[WINDOW >> 1]!;
    this.times = [];
    if (this.typical > SLOW && this.at > 0) {
      this.at -= 1;
      this.most = Math.min(this.most, this.at);
      return true;
    }
    if (this.typical < FAST && this.at < this.most) {
      this.at += 1;
      return true;
    }
    return false;
  }
}
