// Keeps the page and all it needs, so that it opens without a connection after the first visit. Nothing else of the site goes through here.

const NAME = 'plantnb-try-', CACHE = NAME + '{version}', FILES = {files}

self.addEventListener('install', event => event.waitUntil(caches.open(CACHE).then(cache => cache.addAll(FILES.map(file => new Request(file, {cache: 'no-cache'}))))))

self.addEventListener('activate', event => event.waitUntil(caches.keys().then(names =>
  Promise.all(names.filter(name => name.startsWith(NAME) && name !== CACHE).map(name => caches.delete(name)))).then(() => self.clients.claim())))

self.addEventListener('fetch', event => {
  if (event.request.method !== 'GET') return
  event.respondWith(caches.open(CACHE).then(cache => cache.match(event.request, {ignoreSearch: true})).then(kept => kept || fetch(event.request)))
})
