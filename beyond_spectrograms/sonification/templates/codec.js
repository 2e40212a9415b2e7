// One player for all sounds; another version of the same excerpt goes on where the last one was.
(() => {
  const { sounds } = JSON.parse(document.getElementById("data").textContent);
  const player = document.getElementById("player");
  const playing = document.getElementById("playing");
  const buttons = document.querySelectorAll("button.play");
  let clip = null;

  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      const title = button.getAttribute("aria-label");
      const goesOn = clip === button.dataset.clip && !player.paused && !player.ended;
      const from = goesOn ? player.currentTime : 0;
      clip = button.dataset.clip;
      playing.textContent = title;
      player.src = sounds[Number(button.dataset.sound)];
      player.currentTime = from;
      player.play().catch((error) => {
        // A sound asked for before the last one was loaded stops that: no error.
        if (error.name !== "AbortError") playing.textContent = `${title}: ${error.message}`;
      });
    });
  }
})();
