// Recording the microphone without loss: samples as they come, kept as 16-bit WAV.
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

const DECODED_RATE = 48_000; // Hz: what browsers decode is resampled; phones record at this rate or 44.1 kHz

// Begins to record; gives a function that ends it and gives the WAV. Nothing is done to the sound to please an ear.
async function startRecording() {
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const context = new AudioContext();
  const address = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
  await context.audioWorklet.addModule(address);
  URL.revokeObjectURL(address);
  const [blocks, tap] = [[], new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 })];
  tap.port.onmessage = ({ data }) => blocks.push(data);
  context.createMediaStreamSource(stream).connect(tap);
  return async () => {
    stream.getTracks().forEach((track) => track.stop());
    const rate = context.sampleRate;
    await context.close();
    return wavOf(blocks, rate);
  };
}

// Decodes a file as the browser does; gives the mean of its channels as WAV.
async function decode(sound) {
  const decoded = await new OfflineAudioContext(1, 1, DECODED_RATE).decodeAudioData(await sound.arrayBuffer());
  const mono = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel += 1) {
    decoded.getChannelData(channel).forEach((sample, place) => { mono[place] += sample / decoded.numberOfChannels; });
  }
  return wavOf([mono], decoded.sampleRate);
}

// RIFF/WAVE, one channel of 16 bits (Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0").
function wavOf(blocks, rate) {
  const samples = blocks.reduce((total, block) => total + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples));
  const text = (place, signs) => [...signs].forEach((sign, index) => view.setUint8(place + index, sign.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  text(8, "WAVEfmt ");
  [[16, 16], [24, rate], [28, 2 * rate], [40, 2 * samples]].forEach(([place, value]) => view.setUint32(place, value, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([place, value]) => view.setUint16(place, value, true));
  text(36, "data");
  let place = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(place, Math.max(-32768, Math.min(32767, Math.round(32768 * sample))), true);
      place += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}
