"""Reads what was written for TensorBoard."""

import struct


def scalars(folder):
  """What the files of a TensorBoard folder say, in the order of writing."""
  from tensorboardX.proto import event_pb2
  found = []
  for path in sorted(folder.glob('events.*'), key=lambda p: p.stat().st_mtime):
    data = path.read_bytes()
    while data:
      length, = struct.unpack('<Q', data[:8])
      event = event_pb2.Event.FromString(data[12:12 + length])
      found += [(event.step, x.tag, x.simple_value)
                for x in event.summary.value]
      data = data[16 + length:]
  return found
