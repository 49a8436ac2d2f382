import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer"; // makes the Parquet files that tests read

const compressors = {
  GZIP: (bytes: Uint8Array) => Uint8Array.from(gzipSync(bytes)),
  BROTLI: (bytes: Uint8Array) => Uint8Array.from(brotliCompressSync(bytes)),
  ZSTD: (bytes: Uint8Array) => Uint8Array.from(zstdCompressSync(bytes)),
};

/** The codecs that {@link parquetFile} can write. */
export const CODECS = ["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "ZSTD"] as const;

/** A Parquet file of rows with the columns of the first. */
export function parquetFile(
  rows: Record<string, unknown>[],
  { rowGroupSize = 1000, codec = "SNAPPY" }: {
    rowGroupSize?: number;
    codec?: typeof CODECS[number];
  } = {},
): Uint8Array<ArrayBuffer> {
  const columnData = Object.keys(rows[0]).map((name) => ({
    name,
    data: rows.map((row) => row[name]),
  }));
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize, codec, compressors }));
}
