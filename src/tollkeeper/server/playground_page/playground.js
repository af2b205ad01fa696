// The playground's behaviour: a ticket for the key, one socket, typed frames in, words and figures on the page.
"use strict";

const at = (id) => document.getElementById(id);
const KEY = "tollkeeper.key";
let key = "";
let about = { socket: "/ws", models: [], apis: [] };
let socket = null;
let opening = null;
let history = [];
const answers = new Map();
let numbers = 0;

function element(kind, looks, text) {
  const made = document.createElement(kind);
  if (looks) made.className = looks;
  if (text !== undefined) made.textContent = text;
  return made;
}

function state(name, words) {
  at("status").dataset.state = name;
  at("status").textContent = words;
}

function trouble(words) {
  at("trouble").textContent = words || "";
  at("trouble").hidden = !words;
}

async function ask(path, method) {
  const answer = await fetch(path, { method, headers: { authorization: `Bearer ${key}` }, cache: "no-store" });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ? body.error.message : `The gate answered with ${answer.status}.`);
  return body;
}

// --- the door ---

async function enter(given) {
  trouble("");
  key = given.trim();
  try {
    about = await ask("/playground/about.json", "GET");
    fill();
    await connect();
  } catch (error) {
    key = "";
    sessionStorage.removeItem(KEY);
    state("broken", "not connected");
    trouble(error.message);
    return;
  }
  sessionStorage.setItem(KEY, key);
  at("key").value = "";
  at("door").hidden = true;
  at("room").hidden = false;
  at("words").focus();
}

function leave() {
  sessionStorage.removeItem(KEY);
  key = "";
  if (socket) socket.close(1000);
  socket = null;
  clear();
  at("room").hidden = true;
  at("door").hidden = false;
  at("key").focus();
}

function fill() {
  const groups = [["Models", about.models, "model"], ["Published APIs", about.apis.map((api) => api.name), "api"]];
  at("target").replaceChildren(...groups.filter(([, names]) => names.length).map(([label, names, kind]) => {
    const group = element("optgroup");
    group.label = label;
    group.append(...names.map((name) => {
      const option = element("option", "", name);
      option.value = `${kind}:${name}`;
      return option;
    }));
    return group;
  }));
  describe();
}

function chosen() {
  const [kind, ...name] = at("target").value.split(":");
  return { kind, name: name.join(":"), api: about.apis.find((api) => kind === "api" && api.name === name.join(":")) };
}

function describe() {
  const { api } = chosen();
  at("about").textContent = api ? api.text || `Takes ${JSON.stringify(api.example)}` : "";
  at("words").placeholder = api ? "A text, or the API's fields as JSON" : "Type a message";
  if (api && !api.chats && !at("words").value) at("words").value = JSON.stringify(api.example);
  grow();
}

// --- the socket ---

function connect() {
  if (opening) return opening;
  state("closed", "connecting …");
  opening = ask(`${about.socket}/tickets`, "POST").then(({ ticket }) => new Promise((done, failed) => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const opened = new WebSocket(`${scheme}//${location.host}${about.socket}?ticket=${ticket}`, ["tollkeeper.v1.json"]);
    opened.onopen = () => { socket = opened; state("open", "connected"); done(); };
    opened.onmessage = (message) => heard(JSON.parse(message.data));
    opened.onerror = () => failed(new Error("The socket could not be opened."));
    opened.onclose = (event) => {
      if (socket === opened) socket = null;
      state("broken", "not connected");
      for (const id of [...answers.keys()]) fail(id, event.reason || `The socket closed (${event.code}).`);
    };
  })).finally(() => { opening = null; });
  return opening;
}

async function send(text) {
  const id = `p${++numbers}`;
  const { kind, name, api } = chosen();
  let data = text;
  if (api && text.trim().startsWith("{")) {
    try { data = JSON.parse(text); } catch (error) { return trouble(`That is not JSON: ${error.message}`); }
  } else if (kind === "model" || api.chats) {
    const before = at("remember").checked ? history : [];
    data = { messages: [...before, { role: "user", content: text }] };
  }
  trouble("");
  show(id, text);
  at("words").value = "";
  grow();
  try {
    if (!socket) await connect();
    answers.get(id).sent = performance.now();
    socket.send(JSON.stringify(kind === "model" ? { action: "sendmessage", id, model: name, data } : { action: name, id, data }));
  } catch (error) {
    fail(id, error.message);
  }
  return undefined;
}

function stop() {
  if (socket && answers.size) socket.send(JSON.stringify({ action: "cancel" }));
}

// --- frames ---

function heard(frame) {
  const answer = answers.get(frame.id);
  if (!answer) {
    if (frame.type === "error") trouble(frame.error.message);
    return;
  }
  const low = at("log").scrollHeight - at("log").scrollTop - at("log").clientHeight < 60;
  if (frame.type === "delta" && !frame.choice) word(answer, frame.text, false);
  else if (frame.type === "reasoning" && !frame.choice) word(answer, frame.text, true);
  else if (frame.type === "tool_call") answer.box.append(element("pre", "tool", `${frame.name}(${frame.arguments})`));
  else if (frame.type === "result") answer.box.append(element("pre", "tool", JSON.stringify(frame.value, null, 2)));
  else if (frame.type === "usage") answer.usage = frame;
  else if (frame.type === "done") end(frame.id, frame.reason);
  else if (frame.type === "error") fail(frame.id, frame.error.message, frame.error.code);
  if (low) at("log").scrollTop = at("log").scrollHeight;
}

function word(answer, text, thought) {
  if (answer.first === undefined) answer.first = performance.now();
  if (answer.thinks !== thought) {
    answer.thinks = thought;
    answer.part = element("span", thought ? "thought" : "");
    answer.words.append(answer.part);
  }
  answer.part.append(text);
  if (!thought) answer.text += text;
}

function show(id, text) {
  at("empty").hidden = true;
  const mine = element("div", "said mine");
  mine.append(element("p", "words", text));
  const box = element("div", "said going");
  const words = element("p", "words");
  box.append(words);
  at("log").append(mine, box);
  at("log").scrollTop = at("log").scrollHeight;
  answers.set(id, { box, words, text: "", asked: text, sent: performance.now(), thinks: null, part: null });
  at("stop").hidden = false;
}

function end(id, reason) {
  const answer = closed(id);
  if (reason !== "cancelled" && answer.text) {
    history.push({ role: "user", content: answer.asked }, { role: "assistant", content: answer.text });
  }
  figures(answer, reason);
}

function fail(id, words, code) {
  const answer = closed(id);
  figures(answer, "");
  answer.box.append(element("p", "failed", code ? `${words} (${code})` : words));
}

function closed(id) {
  const answer = answers.get(id);
  answers.delete(id);
  answer.box.classList.remove("going");
  at("stop").hidden = answers.size === 0;
  return answer;
}

function figures(answer, reason) {
  const list = element("dl", "figures");
  const add = (name, value) => {
    const pair = element("div");
    pair.append(element("dt", "", name), element("dd", "", value));
    list.append(pair);
  };
  const usage = answer.usage;
  if (answer.first !== undefined) add("first word", `${Math.round(answer.first - answer.sent)} ms`);
  add("in all", `${Math.round(performance.now() - answer.sent)} ms`);
  if (usage) {
    add("tokens", `${usage.input_tokens} in, ${usage.output_tokens} out`);
    add("cost", usage.cost_usd === null ? "unknown" : `$${usage.cost_usd}`);
    add("answered by", usage.model);
  }
  if (reason && reason !== "end") add("ended", reason);
  answer.box.append(list);
}

function clear() {
  stop();
  history = [];
  at("log").replaceChildren(at("empty"));
  at("empty").hidden = false;
}

function grow() {
  const words = at("words");
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight + 2}px`;
}

// --- hands ---

at("door").addEventListener("submit", (event) => { event.preventDefault(); enter(at("key").value); });
at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("words").value.trim()) send(at("words").value);
});
at("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("composer").requestSubmit();
  }
});
at("words").addEventListener("input", grow);
at("target").addEventListener("change", () => { at("words").value = ""; describe(); at("words").focus(); });
at("stop").addEventListener("click", stop);
at("clear").addEventListener("click", () => { clear(); at("words").focus(); });
at("leave").addEventListener("click", leave);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.key === "k" && (event.ctrlKey || event.metaKey) && key) { event.preventDefault(); at("target").focus(); }
});
if (sessionStorage.getItem(KEY)) enter(sessionStorage.getItem(KEY));
