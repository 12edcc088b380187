for (const part of document.querySelectorAll('[data-p]')) {
  const pair = () => document.querySelectorAll(`[data-p="${part.dataset.p}"]`);
  part.addEventListener('mouseenter', () => pair().forEach((half) => half.classList.add('hot')));
  part.addEventListener('mouseleave', () => pair().forEach((half) => half.classList.remove('hot')));
}
