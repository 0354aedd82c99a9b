// Formats numbers, statistics and spec values as api/web/formatting.py does.

const MAX_PLACES = 6;
const MAX_DIGITS = 6;

export const numberOf = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(4)).toString());

// Two digits of the standard error and as many decimals of the mean; the mean alone without an error.
export function statisticOf(mean, error) {
  if (error === null) return numberOf(mean);
  if (error === 0) return `${numberOf(mean)} ± 0`;
  const places = Math.max(0, 1 - Math.floor(Math.log10(error)));
  if (places > MAX_PLACES || Math.max(Math.abs(mean), error) >= 10 ** MAX_DIGITS) return `${numberOf(mean)} ± ${error.toExponential(1)}`;
  return `${mean.toFixed(places)} ± ${error.toFixed(places)}`;
}

// A nested object is written as its name and its other fields in parentheses.
export function showValue(value) {
  if (value === null) return "";
  if (Array.isArray(value)) return `[${value.map(showValue).join(", ")}]`;
  if (typeof value !== "object") return String(value);
  const { name = "", ...fields } = value;
  const rest = Object.entries(fields).map(([key, inner]) => `${key} ${showValue(inner)}`).join(", ");
  return rest ? `${name} (${rest})` : name;
}

export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = powerOf(count, units);
  return `${(count / 1000 ** power).toPrecision(3)} ${units[power]}`;
}

export function flops(count) {
  const units = ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"];
  const power = powerOf(count, units);
  return `${numberOf(Number((count / 1000 ** power).toPrecision(2)))} ${units[power]}`;
}

const powerOf = (count, units) => Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);

const wholeAndRest = (whole, unit, rest, smallUnit) => (rest ? `${whole} ${unit} ${rest} ${smallUnit}` : `${whole} ${unit}`);

export function duration(seconds) {
  if (seconds > 0 && seconds < 0.05) return "under 0.1 s";
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(/\.0$/, "")} s`;
  if (seconds < 59.5) return `${seconds.toFixed(0)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return wholeAndRest(minutes, "min", Math.round(seconds) % 60, "s");
  if (minutes < 48 * 60) return wholeAndRest(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const days = minutes / (24 * 60);
  return days < 730 ? `${days.toFixed(0)} days` : `${new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format(days / 365.25)} years`;
}
