// Two states that take several observations in a row to change, as health checks have it.

export class Hysteresis {
  readonly #rise: number;
  readonly #fall: number;
  #against = 0;
  healthy: boolean;

  /** @param rise observations in a row that make it healthy, and @param fall that make it unhealthy */
  constructor(rise: number, fall: number, healthy = false) {
    this.#rise = rise;
    this.#fall = fall;
    this.healthy = healthy;
  }

  note(ok: boolean): void {
    this.#against = ok === this.healthy ? 0 : this.#against + 1;
    if (this.#against < (this.healthy ? this.#fall : this.#rise)) return;
    this.healthy = ok;
    this.#against = 0;
  }
}
