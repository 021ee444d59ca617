// The codecs that kafkajs leaves to plugins: snappy and lz4 by what @platformatic/kafka
// brings along, zstd by its own library compiled to JavaScript.
import { compressionsAlgorithms } from '@platformatic/kafka'
import kafkajs from 'kafkajs'
import zstd from 'zstd-codec'

const { CompressionCodecs, CompressionTypes } = kafkajs

export const types = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD
}

function plugin (compress, decompress) {
  return () => ({
    compress: async encoder => compress(encoder.buffer),
    decompress: async buffer => decompress(buffer)
  })
}

export async function register () {
  for (const name of ['snappy', 'lz4']) {
    const { compressSync, decompressSync } = compressionsAlgorithms[name]
    CompressionCodecs[types[name]] = plugin(compressSync, decompressSync)
  }
  const simple = await new Promise(done => zstd.ZstdCodec.run(it => done(new it.Simple())))
  CompressionCodecs[types.zstd] = plugin(
    data => Buffer.from(simple.compress(data)),
    data => Buffer.from(simple.decompress(data))
  )
}
