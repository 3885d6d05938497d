"Pictures and files of any form and mode, and such as no camera writes."
import io, struct, zlib
import numpy as np
from PIL import Image


FORMS = dict(jpg='JPEG', png='PNG', gif='GIF', webp='WEBP', tif='TIFF', bmp='BMP')
MODES = dict(jpg=['RGB', 'L', 'CMYK'], png=['RGB', 'RGBA', 'L', 'LA', 'P', '1', 'I;16'], gif=['P', 'L', 'RGB', '1'], webp=['RGB', 'RGBA', 'L'],
             tif=['RGB', 'RGBA', 'L', 'CMYK', 'I;16', 'F', 'P', '1', 'LAB', 'YCbCr'], bmp=['RGB', 'L', 'P', '1', 'RGBA'])
NAMES = ['with space', "it's", 'a "quoted" one', 'comma, semicolon;', 'line\nbreak', 'carriage\rreturn', 'tab\there', 'back\\slash', 'per%cent', '#hash?',
         'üñí', 'лист', '葉っぱ', 'ورقة', '🍃', 'e\u0301', '$(touch it ran)', '`it ran`', '-rf', '--out', '=1+1', '@x', '..', '...dots...', 'x'*200, '\x1b[31mred']

def picture(rng, size=(96, 72)):
    "Smooth and coloured, every one another."
    small = rng.integers(30, 226, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)

def encoded(im, suffix, **kwargs):
    f = io.BytesIO()
    if suffix == 'jpg': kwargs = dict(quality=95) | kwargs
    im.save(f, FORMS[suffix], **kwargs)
    return f.getvalue()

def deep(im, mode):
    "A picture in a mode that Pillow does not convert to by itself."
    if mode == 'F': return Image.fromarray(np.asarray(im.convert('L')).astype(np.float32)/255)
    if mode == 'I;16': return Image.fromarray(np.asarray(im.convert('L')).astype(np.uint16)*257)
    return im.convert('RGB').quantize(64) if mode == 'P' else im.convert(mode)

def huge_header(suffix, side):
    "A small file whose header declares side x side pixels."
    im = Image.new('L', (32, 32), 90)
    data = bytearray(encoded(im, suffix))
    if suffix == 'png':
        data[16:24] = struct.pack('>II', side, side)
        data[29:33] = struct.pack('>I', zlib.crc32(bytes(data[12:29])))
    if suffix == 'bmp': data[18:26] = struct.pack('<ii', side, side)
    if suffix == 'gif': data[6:10] = struct.pack('<HH', min(side, 65535), min(side, 65535))
    if suffix == 'jpg': at = data.index(b'\xff\xc0') + 5; data[at:at+4] = struct.pack('>HH', min(side, 65535), min(side, 65535))
    return bytes(data)

def one_colour_png(w, h, colour_type=2):
    "A true PNG of so many pixels, from zeros; a few hundred kilobytes for gigabytes of pixels."
    z, row = zlib.compressobj(9), b'\0' + bytes(w*{2: 3, 6: 4, 0: 1}[colour_type])
    body = b''.join(z.compress(row) for _ in range(h)) + z.flush()
    chunk = lambda name, d: struct.pack('>I', len(d)) + name + d + struct.pack('>I', zlib.crc32(name + d))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, colour_type, 0, 0, 0)) + chunk(b'IDAT', body) + chunk(b'IEND', b'')
