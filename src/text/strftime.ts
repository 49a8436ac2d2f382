// This module is browser compatible.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July", "August", "September"],
  ...["October", "November", "December"],
];

/**
 * A time in words, as Python's `strftime` has it in English.
 *
 * @param time Local time is taken.
 * @throws {Error} If the format asks for something else than year, month, day, weekday, hour, minute and second.
 */
export function strftime(time: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return format.replaceAll(/%(-?.?)/gsu, (code, name: string) => {
    switch (name) {
      case "Y":
        return String(time.getFullYear());
      case "y":
        return two(time.getFullYear() % 100);
      case "m":
        return two(time.getMonth() + 1);
      case "B":
        return MONTHS[time.getMonth()];
      case "b":
        return MONTHS[time.getMonth()].slice(0, 3);
      case "d":
        return two(time.getDate());
      case "-d":
        return String(time.getDate());
      case "A":
        return DAYS[time.getDay()];
      case "a":
        return DAYS[time.getDay()].slice(0, 3);
      case "H":
        return two(time.getHours());
      case "I":
        return two(time.getHours() % 12 || 12);
      case "p":
        return time.getHours() < 12 ? "AM" : "PM";
      case "M":
        return two(time.getMinutes());
      case "S":
        return two(time.getSeconds());
      case "%":
        return "%";
    }
    throw new Error(`expected %Y, %m, %B, %d, %A, %H, %M or the like in a date, found ${code}`);
  });
}
