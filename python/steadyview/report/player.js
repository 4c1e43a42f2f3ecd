// Two videos in step, one over the other behind a divider, or side by side. A "seek" event from
// anywhere in the same section moves both.
for (const player of document.querySelectorAll(".player")) {
  const [before, after] = player.querySelectorAll("video");
  const find = (name) => player.querySelector(`[data-part="${name}"]`);
  const stage = find("stage"), wipe = find("wipe"), place = find("place"), clock = find("clock");
  const button = find("play"), beside = find("beside");
  const frame = 1 / Number(player.dataset.rate);
  const show = () => {
    stage.style.setProperty("--wipe", `${wipe.value}%`);
    stage.classList.toggle("beside", beside.checked);
  };
  const length = () => Math.min(before.duration || 0, after.duration || 0);
  const follow = () => {
    if (Math.abs(after.currentTime - before.currentTime) > frame / 2) {
      after.currentTime = before.currentTime;
    }
    place.value = length() ? before.currentTime / length() : 0;
    clock.textContent = `${before.currentTime.toFixed(2)} s`;
  };
  const seek = (seconds) => {
    const at = Math.max(0, Math.min(seconds, length() - frame / 2));
    before.currentTime = at;
    after.currentTime = at;
    follow();
  };
  const stop = () => {
    before.pause();
    after.pause();
    follow();
  };
  button.addEventListener("click", async () => {
    if (!before.paused) return stop();
    if (before.currentTime >= length() - frame) seek(0);
    await Promise.all([before.play(), after.play()]);
  });
  const label = () => { button.textContent = before.paused ? "Play" : "Pause"; };
  before.addEventListener("play", label);
  before.addEventListener("pause", label);
  before.addEventListener("ended", stop);
  before.addEventListener("timeupdate", follow);
  place.addEventListener("input", () => { stop(); seek(place.value * length()); });
  wipe.addEventListener("input", show);
  beside.addEventListener("change", show);
  stage.addEventListener("pointermove", (event) => {
    if (!event.buttons || beside.checked) return;
    const box = stage.getBoundingClientRect();
    wipe.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  });
  player.closest(".pair").addEventListener("seek", (event) => { stop(); seek(event.detail); });
  show();
}
for (const link of document.querySelectorAll("[data-seek]")) {
  link.addEventListener("click", () => {
    const detail = Number(link.dataset.seek);
    link.dispatchEvent(new CustomEvent("seek", { detail, bubbles: true }));
  });
}
